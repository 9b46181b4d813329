//! What a server that keeps whatever it is sent says of itself to an encoder that speaks enhanced
//! RTMP (v2, "Enhancing NetConnection connect Command").
//!
//! Only an encoder that named one of these members in its `connect` gets them: the others get the
//! answer that they always got.

use rml_amf0::Amf0Value;

use crate::media::amf0::Value;

/// Members by which an encoder shows that it speaks enhanced RTMP, and by which we answer.
const FOUR_CC_LIST: &str = "fourCcList";
const VIDEO_MAP: &str = "videoFourCcInfoMap";
const AUDIO_MAP: &str = "audioFourCcInfoMap";
const CAPS_EX: &str = "capsEx";

/// The video codecs that have a FourCC.
const VIDEO: [&str; 6] = ["avc1", "hvc1", "av01", "vp08", "vp09", "vvc1"];
/// The audio codecs that have one.
const AUDIO: [&str; 6] = ["mp4a", "Opus", "fLaC", "ac-3", "ec-3", ".mp3"];
/// Any other codec: nothing depends on knowing it.
const ANY: &str = "*";

/// `FourCcInfoMask.CanForward`: what comes in is passed on; nothing is decoded or encoded.
const CAN_FORWARD: f64 = 4.0;
/// `CapsExMask`: Multitrack, ModEx and TimestampNanoOffset are kept as they are. Without Reconnect
/// (0x01): nobody is asked to connect elsewhere.
const CAPABILITIES: f64 = (0x02 | 0x04 | 0x08) as f64;

/// True if the command object of a `connect` has a member of enhanced RTMP.
pub(super) fn is_spoken_by(object: &Value) -> bool {
    [FOUR_CC_LIST, VIDEO_MAP, AUDIO_MAP, CAPS_EX].iter().any(|name| object.get(name).is_some())
}

/// The members of the answer.
pub(super) fn members() -> [(String, Amf0Value); 4] {
    let all = VIDEO.iter().chain(&AUDIO).chain([&ANY]);
    let list = all.map(|name| Amf0Value::Utf8String((*name).to_owned())).collect();
    [
        (FOUR_CC_LIST, Amf0Value::StrictArray(list)),
        (VIDEO_MAP, map(&VIDEO)),
        (AUDIO_MAP, map(&AUDIO)),
        (CAPS_EX, Amf0Value::Number(CAPABILITIES)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
}

fn map(codecs: &[&str]) -> Amf0Value {
    let all = codecs.iter().chain([&ANY]);
    Amf0Value::Object(
        all.map(|name| ((*name).to_owned(), Amf0Value::Number(CAN_FORWARD))).collect(),
    )
}
