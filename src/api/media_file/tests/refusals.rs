//! What is refused, and with which of the vendor's codes.

use super::*;

#[tokio::test]
async fn refusals_have_the_vendors_codes() {
    let (server, _) = servers().await.remove(0);
    let many = |n: usize| vec!["5"; n];
    for (request, code) in [
        (json!({ "FileIds": many(11) }), "InvalidParameterValue.FileIds"),
        (json!({ "FileIds": ["5".repeat(41)] }), "InvalidParameterValue.FileIds"),
        (json!({ "FileIds": "5" }), "InvalidParameter"),
        (json!({ "StreamIds": many(11) }), "InvalidParameterValue.StreamIds"),
        (json!({ "StreamIds": ["a\u{0}b"] }), "InvalidParameterValue.StreamIds"),
        (json!({ "StreamId": "a\u{0}b" }), "InvalidParameterValue.StreamIds"),
        (json!({ "NamePrefixes": ["录".repeat(101)] }), "InvalidParameterValue.NamePrefixes"),
        (json!({ "SourceTypes": ["record"] }), "InvalidParameterValue.SourceTypes"),
        (json!({ "SourceType": "Live" }), "InvalidParameterValue.SourceType"),
        (json!({ "Offset": 4991 }), "InvalidParameterValue.Offset"),
        (json!({ "Offset": u64::MAX, "Limit": 1 }), "InvalidParameterValue.Offset"),
        (json!({ "Sort": { "Field": "Name", "Order": "Asc" } }), "InvalidParameterValue.Sort"),
        (json!({ "Sort": { "Field": "CreateTime", "Order": "Up" } }), "InvalidParameterValue.Sort"),
        (json!({ "Sort": { "Field": "CreateTime" } }), "MissingParameter"),
        (json!({ "CreateTime": { "After": "yesterday" } }), "InvalidParameterValue.StartTime"),
        (json!({ "EndTime": "2026-11-22" }), "InvalidParameterValue.EndTime"),
        (json!({ "Filters": ["everything"] }), "InvalidParameterValue"),
        (json!({ "StreamDomains": ["a b"] }), "InvalidParameterValue"),
        (json!({ "SubAppId": 7 }), "InvalidParameterValue.SubAppId"),
        (json!({ "SubAppId": u64::MAX }), "InvalidParameterValue.SubAppId"),
        (json!({ "Nmaes": ["x"] }), "UnknownParameter"),
        (json!({ "CreateTime": { "From": "x" } }), "UnknownParameter"),
    ] {
        let error = search(&server, request.clone()).await.unwrap_err();
        assert_eq!(error.code(), code, "{request}: {error}");
    }
    for name in UNSUPPORTED_LISTS.into_iter().chain(["TrtcRoomIds"]) {
        let error = search(&server, json!({ name: [1] })).await.unwrap_err();
        assert_eq!(error.code(), "UnsupportedOperation");
        assert!(error.to_string().contains(name), "{error}");
    }
    for request in [json!({ "Text": "x" }), json!({ "ExpireTime": { "After": "x" } })] {
        let error = search(&server, request).await.unwrap_err();
        assert_eq!(error.code(), "UnsupportedOperation");
    }
    for (request, code) in [
        (json!({}), "MissingParameter"),
        (json!({ "FileIds": [] }), "InvalidParameterValue.FileIdsEmpty"),
        (json!({ "FileIds": many(21) }), "InvalidParameterValue.FileIdsOverLimit"),
        (json!({ "FileIds": ["5".repeat(41)] }), "InvalidParameterValue.FileIds"),
        (json!({ "FileIds": ["5"], "SubAppId": 7 }), "InvalidParameterValue.SubAppId"),
        (json!({ "FileIds": ["5"], "Names": ["x"] }), "UnknownParameter"),
    ] {
        let error = describe(&server, request.clone()).await.unwrap_err();
        assert_eq!(error.code(), code, "{request}: {error}");
    }
}
