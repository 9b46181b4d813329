-- Tasks made by CreateLiveRecord carry what they record with them (a record template as JSON);
-- empty for tasks that name a template.
ALTER TABLE record_task ADD COLUMN profile TEXT NOT NULL DEFAULT '';
