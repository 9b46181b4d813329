//! What every store promises, run against both; see `storage_s3.rs` for what is particular to S3.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use liverec::{
    domain::{container::Container, ids::DecimalId},
    storage::{LocalStore, MIN_PART_BYTES, ObjectStore, Part, StorageError, StorageKey, Upload},
};

const PART: u64 = MIN_PART_BYTES;

#[tokio::test]
async fn a_directory_keeps_the_promises() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::open(dir.path()).unwrap();
    keeps_the_promises(Arc::new(store)).await;
}

/// Everything of [`ObjectStore`] that both stores answer alike. Works on keys below `conformance`
/// and leaves none behind.
pub async fn keeps_the_promises(store: Arc<dyn ObjectStore>) {
    let store = &*store;
    store.check().await.unwrap();
    small_objects(store).await;
    ranges(store).await;
    names(store).await;
    an_upload(store).await;
    given_up_uploads(store).await;
    wrong_parts(store).await;
    listings(store).await;
    open_uploads(store).await;
}

/// Bytes that differ at every place of every part.
pub fn pattern(seed: u64, len: u64) -> Bytes {
    (0..len)
        .map(|n| (n.wrapping_mul(31).wrapping_add(n >> 8).wrapping_add(seed * 101)) as u8)
        .collect()
}

pub fn key(text: &str) -> StorageKey {
    StorageKey::parse(text).unwrap()
}

pub async fn read(store: &dyn ObjectStore, key: &StorageKey) -> Bytes {
    let body = store.get(key, None).await.unwrap();
    assert_eq!(body.range, 0..body.info.size);
    body.stream.try_collect::<Vec<_>>().await.unwrap().concat().into()
}

async fn small_objects(store: &dyn ObjectStore) {
    let name = key("conformance/small/f0.mp4");
    assert_eq!(store.head(&name).await.unwrap(), None);
    let missing = store.get(&name, None).await.unwrap_err();
    assert!(
        matches!(&missing, StorageError::NotFound { key } if key == name.as_str()),
        "{missing}"
    );
    store.delete(&name).await.unwrap();

    store.put(&name, pattern(1, 700_000)).await.unwrap();
    let first = store.head(&name).await.unwrap().unwrap();
    assert_eq!(first.size, 700_000);
    assert!(!first.etag.is_empty() && !first.etag.contains('"'), "{}", first.etag);
    assert_eq!(read(store, &name).await, pattern(1, 700_000));

    store.put(&name, pattern(2, 700_000)).await.unwrap();
    let second = store.head(&name).await.unwrap().unwrap();
    assert!(second.size == 700_000 && second.etag != first.etag);
    assert_eq!(read(store, &name).await, pattern(2, 700_000));

    store.put(&name, Bytes::new()).await.unwrap();
    assert_eq!(store.head(&name).await.unwrap().unwrap().size, 0);
    assert_eq!(read(store, &name).await, Bytes::new());

    store.delete(&name).await.unwrap();
    assert_eq!(store.head(&name).await.unwrap(), None);
    store.delete(&name).await.unwrap();
}

async fn ranges(store: &dyn ObjectStore) {
    let name = key("conformance/ranges.ts");
    let object = pattern(3, 600_000);
    store.put(&name, object.clone()).await.unwrap();
    for (range, want) in [
        (0..1, 0..1),
        (5..400_000, 5..400_000),
        (599_999..u64::MAX, 599_999..600_000),
        (0..600_000, 0..600_000),
        (7..700_000, 7..600_000),
    ] {
        let body = store.get(&name, Some(range)).await.unwrap();
        assert_eq!((body.range.clone(), body.info.size), (want.clone(), 600_000));
        let bytes = body.stream.try_collect::<Vec<_>>().await.unwrap().concat();
        assert_eq!(bytes, object[want.start as usize..want.end as usize]);
    }
    for outside in [600_000..600_001, u64::MAX - 1..u64::MAX, 5..5, 600_000..u64::MAX] {
        let error = store.get(&name, Some(outside.clone())).await.unwrap_err();
        assert!(matches!(error, StorageError::Range { size: 600_000 }), "{outside:?}: {error}");
    }
    let missing = store.get(&key("conformance/none.ts"), Some(0..1)).await.unwrap_err();
    assert!(matches!(missing, StorageError::NotFound { .. }), "{missing}");
    store.delete(&name).await.unwrap();
}

/// Two names that only careful escaping keeps apart, and keys that were never escaped.
async fn names(store: &dyn ObjectStore) {
    let product = |stream: &str| {
        StorageKey::product("d.example", "live", stream, DecimalId(7), Container::Mp4)
    };
    let keys = [
        product("房 🎥%/.."),
        product("房 🎥%2F.."),
        product(".."),
        key("conformance/a b/房🎥 100%/+&?#=;.aac"),
    ];
    for (n, name) in (1..).zip(&keys) {
        store.put(name, pattern(n, 100)).await.unwrap();
    }
    for (n, name) in (1..).zip(&keys) {
        assert_eq!(read(store, name).await, pattern(n, 100), "{name}");
        assert_eq!(store.head(name).await.unwrap().unwrap().size, 100);
    }
    for name in &keys {
        store.delete(name).await.unwrap();
        assert_eq!(store.head(name).await.unwrap(), None);
    }
}

async fn an_upload(store: &dyn ObjectStore) {
    let name = key("conformance/房 1%/upload/f0.mp4");
    let upload = store.start(&name, PART).await.unwrap();
    assert_eq!((&upload.key, upload.part_size), (&name, PART));
    assert_eq!(store.list_parts(&upload).await.unwrap(), []);
    // The last part first, the head last; one part is stored twice and the second time counts.
    let last = store.put_part(&upload, 3, pattern(3, 1000)).await.unwrap();
    assert_eq!((last.number, last.size), (3, 1000));
    store.put_part(&upload, 2, pattern(9, PART)).await.unwrap();
    let second = store.put_part(&upload, 2, pattern(2, PART)).await.unwrap();
    assert_eq!(sizes(&store.list_parts(&upload).await.unwrap()), [(2, PART), (3, 1000)]);
    assert_eq!(store.head(&name).await.unwrap(), None, "an object appears when it is complete");
    let first = store.put_part(&upload, 1, pattern(1, PART)).await.unwrap();
    let parts = [first, second, last];
    assert_eq!(sizes(&store.list_parts(&upload).await.unwrap()), sizes(&parts));

    store.complete(&upload, &parts).await.unwrap();
    let size = 2 * PART + 1000;
    assert_eq!(store.head(&name).await.unwrap().unwrap().size, size);
    assert!(
        read(store, &name).await == [pattern(1, PART), pattern(2, PART), pattern(3, 1000)].concat()
    );
    let middle = store.get(&name, Some(PART - 2..PART + 2)).await.unwrap();
    let middle = middle.stream.try_collect::<Vec<_>>().await.unwrap().concat();
    assert_eq!(middle, [&pattern(1, PART)[PART as usize - 2..], &pattern(2, 2)[..]].concat());

    // Said again because the answer was lost, and given up too late: the object stays.
    store.complete(&upload, &parts).await.unwrap();
    store.abort(&upload).await.unwrap();
    assert_eq!(store.head(&name).await.unwrap().unwrap().size, size);
    store.delete(&name).await.unwrap();
}

async fn given_up_uploads(store: &dyn ObjectStore) {
    let name = key("conformance/abort.mp4");
    let upload = store.start(&name, PART).await.unwrap();
    let part = store.put_part(&upload, 1, pattern(1, 1000)).await.unwrap();
    store.abort(&upload).await.unwrap();
    store.abort(&upload).await.unwrap();
    match store.list_parts(&upload).await {
        Ok(parts) => assert_eq!(parts, []),
        Err(error) => assert!(matches!(error, StorageError::NoSuchUpload { .. }), "{error}"),
    }
    // `Refused` is how s3s-fs says it.
    let gone = store.complete(&upload, std::slice::from_ref(&part)).await.unwrap_err();
    assert!(
        matches!(gone, StorageError::NoSuchUpload { .. } | StorageError::Refused { .. }),
        "{gone}"
    );
    let gone = store.put_part(&upload, 1, pattern(1, 1000)).await.unwrap_err();
    assert!(
        matches!(gone, StorageError::NoSuchUpload { .. } | StorageError::Refused { .. }),
        "{gone}"
    );
    assert_eq!(store.head(&name).await.unwrap(), None);
}

/// All objects are on the pages of a listing, each once, with size and time.
async fn listings(store: &dyn ObjectStore) {
    let all = async |under: &str| {
        let (mut found, mut after, mut pages) = (Vec::new(), None::<String>, 0);
        loop {
            let page = store.list(under, after.as_deref()).await.unwrap();
            found.extend(page.objects);
            pages += 1;
            match page.next {
                Some(next) => after = Some(next),
                None => return (found, pages),
            }
        }
    };
    assert_eq!(all("conformance/list/").await.0, []);
    let before_ms = chrono::Utc::now().timestamp_millis() - 5000;
    // In an order in which neither names nor folders are sorted; a page has 1000.
    let names: Vec<String> = (0..1200)
        .map(|n| match n * 37 % 1200 {
            n if n % 3 == 0 => format!("conformance/list/a/{n}.ts"),
            n if n % 3 == 1 => format!("conformance/list/a-{}/x/{n}.ts", n % 7),
            n => format!("conformance/list/{n}.ts"),
        })
        .collect();
    for chunk in names.chunks(16) {
        let puts = chunk.iter().map(|name| async {
            store.put(&key(name), pattern(1, name.len() as u64)).await.unwrap();
        });
        futures_util::future::join_all(puts).await;
    }
    let (found, pages) = all("conformance/list/").await;
    assert_eq!(pages, 2);
    let mut listed: Vec<&str> = found.iter().map(|object| object.name.as_str()).collect();
    let mut expected: Vec<&str> = names.iter().map(String::as_str).collect();
    listed.sort_unstable();
    expected.sort_unstable();
    assert_eq!(listed, expected);
    for object in &found {
        assert_eq!(object.size, object.name.len() as u64, "{object:?}");
        assert!(object.modified_ms >= before_ms, "{object:?}");
    }
    assert_eq!(all("conformance/list/a/").await.0.len(), 400);
    assert!(all("").await.0.len() >= 1200);
    for chunk in names.chunks(16) {
        let deletes = chunk.iter().map(|name| async { store.delete(&key(name)).await.unwrap() });
        futures_util::future::join_all(deletes).await;
    }
    assert_eq!(all("conformance/list/").await.0, []);
}

/// Uploads are listed while they are open and gone when they were discarded.
async fn open_uploads(store: &dyn ObjectStore) {
    let before = store.list_uploads().await.unwrap();
    let name = key("conformance/open.mp4");
    let upload = store.start(&name, PART).await.unwrap();
    store.put_part(&upload, 1, pattern(1, 1000)).await.unwrap();
    let open = store.list_uploads().await.unwrap();
    assert_eq!(open.len(), before.len() + 1);
    let ours = open.iter().find(|open| open.id == upload.id).unwrap();
    assert!(ours.name.as_deref().is_none_or(|listed| listed == name.as_str()), "{ours:?}");
    assert!(ours.bytes.is_none_or(|bytes| bytes == 1000), "{ours:?}");
    assert!(ours.changed_ms > chrono::Utc::now().timestamp_millis() - 60_000, "{ours:?}");
    store.discard(ours).await.unwrap();
    assert_eq!(store.list_uploads().await.unwrap(), before);
    match store.list_parts(&upload).await {
        Ok(parts) => assert_eq!(parts, []),
        Err(error) => assert!(matches!(error, StorageError::NoSuchUpload { .. }), "{error}"),
    }
}

/// Parts that do not make an object are refused before anything is asked of the store.
async fn wrong_parts(store: &dyn ObjectStore) {
    let upload = store.start(&key("conformance/wrong.mp4"), PART).await.unwrap();
    let part = |number, size| Part { number, etag: "\"e\"".to_owned(), size };
    let wrong = [
        vec![],
        vec![part(2, PART)],
        vec![part(1, PART), part(3, 5)],
        vec![part(2, PART), part(1, PART)],
        vec![part(1, PART - 1), part(2, 5)],
        vec![part(1, PART + 1)],
        vec![part(1, 0)],
    ];
    for parts in wrong {
        let error = store.complete(&upload, &parts).await.unwrap_err();
        assert!(matches!(error, StorageError::NoSuchUpload { .. }), "{parts:?}: {error}");
    }
    for (number, size) in [(0, 5), (1, 0), (1, PART + 1), (10_001, 5)] {
        let error = store.put_part(&upload, number, pattern(1, size)).await.unwrap_err();
        assert!(matches!(error, StorageError::Refused { .. }), "{number} {size}: {error}");
    }
    let far = Upload { part_size: u64::MAX, ..upload.clone() };
    let parts = [part(1, u64::MAX), part(2, u64::MAX)];
    assert!(store.complete(&far, &parts).await.is_err());
    store.abort(&upload).await.unwrap();
}

fn sizes(parts: &[Part]) -> Vec<(u32, u64)> {
    parts.iter().map(|part| (part.number, part.size)).collect()
}
