//! Parameters and answers of [`crate::api::push_auth_key`].

use super::{Object, Shape, int, object, text, uint};

/// PushAuthKeyInfo.
pub static PUSH_AUTH_KEY_INFO: Object = Object {
    name: "PushAuthKeyInfo",
    fields: &[
        text("DomainName"),
        int("Enable"),
        text("MasterAuthKey"),
        text("BackupAuthKey"),
        uint("AuthDelta"),
    ],
};

/// ModifyLivePushAuthKey.
pub static MODIFY: Shape = Shape {
    parameters: &[
        text("DomainName").required(),
        int("Enable"),
        text("MasterAuthKey"),
        text("BackupAuthKey"),
        uint("AuthDelta"),
    ],
    answer: &[],
};

/// DescribeLivePushAuthKey.
pub static DESCRIBE: Shape = Shape {
    parameters: &[text("DomainName").required()],
    answer: &[object("PushAuthKeyInfo", &PUSH_AUTH_KEY_INFO)],
};
