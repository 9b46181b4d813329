//! Parameters and answers of [`crate::api::doctor`].

use super::{Kind, Object, Shape, int, list, text};

/// DoctorFinding.
pub static DOCTOR_FINDING: Object = Object {
    name: "DoctorFinding",
    fields: &[
        text("Advice"),
        text("Check"),
        text("Found"),
        list("Names", &Kind::Text),
        text("Status"),
    ],
};

/// LiverecDoctor.
pub static DOCTOR: Shape = Shape {
    parameters: &[],
    answer: &[
        int("Failures"),
        list("FindingSet", &Kind::Object(&DOCTOR_FINDING)),
        text("Status"),
        int("Warnings"),
    ],
};
