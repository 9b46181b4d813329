-- The outbox as queues: one per stream and receiver, so that order is kept within it, what waits for
-- a dead receiver is not looked at event by event, and every attempt leaves a trace.

-- the queue an event stands in: a digest of receiver and stream, since both together may be longer
-- than an index takes; empty until an event of an earlier version is taken over
ALTER TABLE callback ADD COLUMN queue TEXT NOT NULL DEFAULT '';
-- unix milliseconds from which on its attempts are counted: it was enqueued or replayed
ALTER TABLE callback ADD COLUMN queued_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE callback ADD COLUMN replays BIGINT NOT NULL DEFAULT 0;
-- the name of its stream alone, which the delivery log is asked for
ALTER TABLE callback ADD COLUMN stream TEXT NOT NULL DEFAULT '';
DROP INDEX callback_order;
CREATE INDEX callback_head ON callback (queue, id) WHERE state = 'pending';
CREATE INDEX callback_age ON callback (state, queued_ms);
CREATE INDEX callback_stream ON callback (stream, created_ms);

-- one row per queue in which something waits; ready_ms is when its first event may be taken: its
-- next try, or while somebody has it the end of the lease
CREATE TABLE callback_queue (
    queue       TEXT PRIMARY KEY,
    receiver    TEXT NOT NULL,
    url         TEXT NOT NULL,
    ready_ms    BIGINT NOT NULL,
    lease_owner TEXT NOT NULL,
    fence       BIGINT NOT NULL
);
CREATE INDEX callback_queue_ready ON callback_queue (receiver, ready_ms, queue);
CREATE INDEX callback_queue_owner ON callback_queue (lease_owner);

-- how one attempt went; t and sign are those that were sent, the rest of the request is the event's
CREATE TABLE callback_delivery (
    id          TEXT PRIMARY KEY,
    callback_id TEXT NOT NULL REFERENCES callback (id) ON DELETE CASCADE,
    stream      TEXT NOT NULL,
    event_ms    BIGINT NOT NULL,
    event_type  BIGINT NOT NULL,
    result_code BIGINT NOT NULL,
    response    TEXT NOT NULL,
    sent_t      BIGINT NOT NULL,
    sent_sign   TEXT NOT NULL,
    ended_ms    BIGINT NOT NULL
);
CREATE INDEX callback_delivery_of ON callback_delivery (callback_id, id);
CREATE INDEX callback_delivery_stream ON callback_delivery (stream, event_ms);

-- position in the session's journal up to which its irregularities were told; -1: none
ALTER TABLE session ADD COLUMN told_to BIGINT NOT NULL DEFAULT -1;
