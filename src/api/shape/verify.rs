//! Parameters and answers of [`crate::api::verify`].

use super::{Kind, Object, Shape, any, flag, int, list, object, text, uint};

/// VerifiedTrack.
pub static VERIFIED_TRACK: Object =
    Object { name: "VerifiedTrack", fields: &[int("Packets"), int("Same"), text("Track")] };

/// Difference.
pub static DIFFERENCE: Object = Object {
    name: "Difference",
    fields: &[
        text("What"),
        text("Object").nullable(),
        text("Track").nullable(),
        int("Packet").nullable(),
        text("Expected").nullable(),
        text("Found").nullable(),
    ],
};

/// LiverecVerifyFile.
pub static VERIFY_FILE: Shape = Shape {
    parameters: &[text("FileId").required(), uint("SubAppId")],
    answer: &[
        text("Against"),
        int("Bytes"),
        list("DifferenceSet", &Kind::Object(&DIFFERENCE)),
        text("FileId"),
        flag("HasHashes"),
        object("JournalDifference", &DIFFERENCE).nullable(),
        list("Notes", &Kind::Text),
        int("Objects"),
        any("Summary"),
        list("TrackSet", &Kind::Object(&VERIFIED_TRACK)),
        flag("Verified"),
    ],
};
