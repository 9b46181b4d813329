//! Commands of the connection and of message streams (RTMP 1.0 section 7.2), as encoders use
//! them, and their answers.

use std::sync::Arc;

use rml_amf0::Amf0Value;

use super::{
    Event, MAX_MESSAGE_STREAMS, MessageStream, PublishRequest, ServerSession, SessionError, State,
};
use crate::{
    media::amf0::Value,
    rtmp::{
        chunk::Message,
        clock::Clock,
        command::{Command, Connect},
        reply::Level,
    },
};

const RECORDS_ONLY: &str = "liverec records only: it does not play streams";

impl ServerSession {
    pub(super) fn command(&mut self, message: &Message) -> Result<(), SessionError> {
        let command = match Command::decode(&message.payload) {
            Ok(command) => command,
            // A running publish is worth more than a command that means nothing to us.
            Err(_) if self.is_publishing() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let transaction = command.transaction;
        match command.name.as_str() {
            "connect" => self.on_connect(&command)?,
            "createStream" => self.on_create_stream(transaction)?,
            "publish" => self.on_publish(message.stream_id, &command)?,
            "FCPublish" => {
                self.answer(transaction, Amf0Value::Undefined)?;
                let name = command.text(0).unwrap_or_default();
                let code = "NetStream.Publish.Start";
                self.replies.notify(0, "onFCPublish", Level::Status, code, name)?;
            }
            "FCUnpublish" => {
                self.unpublish_by_name(command.text(0))?;
                self.answer(transaction, Amf0Value::Undefined)?;
                let code = "NetStream.Unpublish.Success";
                let name = command.text(0).unwrap_or_default();
                self.replies.notify(0, "onFCUnpublish", Level::Status, code, name)?;
            }
            "closeStream" => self.unpublish(message.stream_id)?,
            "deleteStream" => {
                let id = command.argument(0).and_then(Value::as_number);
                // Saturating on purpose: no stream has such an id.
                let id = id.map_or(message.stream_id, |id| id as u32);
                self.unpublish(id)?;
                self.streams.retain(|stream| stream.id != id);
            }
            "releaseStream" | "_checkbw" => self.answer(transaction, Amf0Value::Undefined)?,
            "getStreamLength" => self.answer(transaction, Amf0Value::Number(0.0))?,
            "play" | "play2" | "FCSubscribe" => {
                let code = "NetStream.Play.Failed";
                self.replies.on_status(message.stream_id, Level::Error, code, RECORDS_ONLY)?;
                // Without its parameters: they may hold a secret.
                let name = bare(command.text(0).unwrap_or_default());
                self.refused("play", format!("{} {name:?}", command.name));
            }
            "_result" | "_error" | "onStatus" => {}
            _ if transaction != 0.0 => {
                let description = format!("no such command: {}", command.name);
                self.replies.error(transaction, "NetConnection.Call.Failed", &description)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn on_connect(&mut self, command: &Command) -> Result<(), SessionError> {
        self.replies.introduce()?;
        match Connect::from_command(command) {
            Some(connect) => {
                self.replies.connected(command.transaction, connect.is_enhanced())?;
                self.connect = Some(Arc::new(connect));
            }
            None => {
                let description = "connect names no application";
                self.replies.error(
                    command.transaction,
                    "NetConnection.Connect.Rejected",
                    description,
                )?;
                self.refused("connect", description.to_owned());
            }
        }
        Ok(())
    }

    fn on_create_stream(&mut self, transaction: f64) -> Result<(), SessionError> {
        match self.create_stream(None) {
            Some(id) => self.answer(transaction, Amf0Value::Number(f64::from(id)))?,
            None => {
                let description = format!("at most {MAX_MESSAGE_STREAMS} message streams");
                self.replies.error(transaction, "NetConnection.Call.Failed", &description)?;
            }
        }
        Ok(())
    }

    /// Adds a message stream, with the smallest free id if none is given.
    fn create_stream(&mut self, id: Option<u32>) -> Option<u32> {
        if self.streams.len() >= MAX_MESSAGE_STREAMS {
            return None;
        }
        let is_free = |id: &u32| self.streams.iter().all(|stream| stream.id != *id);
        let id = id.or_else(|| (1..).find(is_free))?;
        let stream =
            MessageStream { id, state: State::Idle, key: String::new(), clock: Clock::default() };
        self.streams.push(stream);
        Some(id)
    }

    fn on_publish(&mut self, id: u32, command: &Command) -> Result<(), SessionError> {
        let key = command.text(0).unwrap_or_default();
        let Some(connect) = self.connect.clone() else {
            return self.cannot_publish(id, "publish before connect", "NetStream.Publish.Denied");
        };
        if key.is_empty() {
            return self.cannot_publish(
                id,
                "publish without a stream name",
                "NetStream.Publish.BadName",
            );
        }
        // Some encoders publish on a message stream that they never created.
        if self.stream_mut(id).is_none() && self.create_stream(Some(id)).is_none() {
            return self.cannot_publish(id, "too many message streams", "NetStream.Publish.Denied");
        }
        let Some(stream) = self.stream_mut(id).filter(|stream| stream.state == State::Idle) else {
            let description = "this message stream is publishing already";
            return self.cannot_publish(id, description, "NetStream.Publish.BadName");
        };
        stream.state = State::Asked;
        stream.key = key.to_owned();
        self.events.push_back(Event::Publish(PublishRequest {
            stream: id,
            connect,
            key: key.to_owned(),
            mode: command.text(1).unwrap_or("live").to_owned(),
        }));
        Ok(())
    }

    fn cannot_publish(
        &mut self,
        id: u32,
        description: &str,
        code: &str,
    ) -> Result<(), SessionError> {
        self.replies.on_status(id, Level::Error, code, description)?;
        self.refused("publish", description.to_owned());
        Ok(())
    }

    fn refused(&mut self, reason: &'static str, description: String) {
        self.events.push_back(Event::Refused { reason, description });
    }

    fn answer(&mut self, transaction: f64, value: Amf0Value) -> Result<(), SessionError> {
        // No transaction, no answer expected.
        if transaction != 0.0 {
            self.replies.result(transaction, value)?;
        }
        Ok(())
    }

    fn is_publishing(&self) -> bool {
        self.streams.iter().any(|stream| stream.state == State::Publishing)
    }

    /// Ends the publish on a message stream, if there is one.
    fn unpublish(&mut self, id: u32) -> Result<(), SessionError> {
        let publishing = |stream: &&mut MessageStream| stream.state == State::Publishing;
        let Some(stream) = self.stream_mut(id).filter(publishing) else {
            return Ok(());
        };
        stream.state = State::Idle;
        let code = "NetStream.Unpublish.Success";
        self.replies.on_status(id, Level::Status, code, "publishing ended")?;
        self.events.push_back(Event::Unpublished { stream: id });
        Ok(())
    }

    /// FCUnpublish names the stream, with or without the parameters of its key; without a name it
    /// means whatever is being published.
    fn unpublish_by_name(&mut self, name: Option<&str>) -> Result<(), SessionError> {
        let wanted = name.map(bare);
        let ids: Vec<u32> = self
            .streams
            .iter()
            .filter(|stream| stream.state == State::Publishing)
            .filter(|stream| wanted.is_none_or(|name| bare(&stream.key) == name))
            .map(|stream| stream.id)
            .collect();
        ids.into_iter().try_for_each(|id| self.unpublish(id))
    }
}

/// A stream key without its parameters.
fn bare(key: &str) -> &str {
    key.split_once('?').map_or(key, |(name, _)| name)
}
