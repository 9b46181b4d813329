//! Search and expiry.

use super::*;

#[tokio::test]
async fn search_sees_stored_files_by_every_filter() {
    for test in databases().await {
        let db = &test.db;
        let a = store(db, "a", "Match_100%_x", 1000).await;
        let b = store(db, "b", "match_100%_y", 2000).await;
        let c = store(db, "b", "录制", 3000).await;
        insert(db, &media_file("a", SessionId::new(0), 4000)).await;
        let base = MediaSearch { sub_app_id: 1_250_000_000, limit: 10, ..MediaSearch::default() };
        let find = |search: MediaSearch| async move {
            let (total, files) = db.search_media_files(&search, 10_000).await.unwrap();
            assert!(total >= files.len() as u64);
            (total, files.into_iter().map(|f| f.id).collect::<Vec<_>>())
        };
        let texts = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        assert_eq!(find(base.clone()).await, (3, vec![c.id, b.id, a.id]), "newest first");
        let paged = MediaSearch { is_ascending: true, offset: 1, limit: 1, ..base.clone() };
        assert_eq!(find(paged).await, (3, vec![b.id]));
        let ids = MediaSearch { file_ids: texts(&[&a.id.to_string(), "17"]), ..base.clone() };
        assert_eq!(find(ids).await.1, [a.id]);
        let streams = MediaSearch { stream_ids: texts(&["b", "zz"]), ..base.clone() };
        assert_eq!(find(streams.clone()).await.1, [c.id, b.id]);
        let both = MediaSearch { created_before_ms: Some(3000), ..streams };
        assert_eq!(find(both).await.1, [b.id], "half open, ANDed");
        let from = MediaSearch { created_from_ms: Some(2000), ..base.clone() };
        assert_eq!(find(from).await.1, [c.id, b.id]);
        for (prefix, found) in [
            ("match_100%", vec![b.id]),
            ("MATCH", vec![]),
            ("match_1__%", vec![]),
            ("录", vec![c.id]),
            ("'", vec![]),
        ] {
            let search = MediaSearch { name_prefixes: texts(&[prefix]), ..base.clone() };
            assert_eq!(find(search).await.1, found, "{prefix}");
        }
        let domain = MediaSearch { stream_domains: texts(&["push.example.com"]), ..base.clone() };
        assert_eq!(find(domain).await.0, 3);
        let app = MediaSearch { stream_paths: texts(&["other"]), ..base.clone() };
        assert_eq!(find(app).await.0, 0);
        assert_eq!(find(MediaSearch { sub_app_id: 1, ..base }).await.0, 0);
    }
}

#[tokio::test]
async fn expired_files_are_not_found_and_can_be_deleted() {
    for test in databases().await {
        let db = &test.db;
        let mut file = media_file("a", SessionId::new(0), 1000);
        insert(db, &file).await;
        end(db, file.id, Some(200), 1500).await;
        let (_, fence) = claim(db, 1500).await.unwrap();
        file.expire_ms = 5000;
        assert_eq!(commit(db, &file, fence, 2000).await, Fenced::Done);
        let search =
            MediaSearch { sub_app_id: file.sub_app_id, limit: 9, ..MediaSearch::default() };
        for (now_ms, found, expired) in [(4999, 1, 0), (5000, 0, 1)] {
            assert_eq!(db.search_media_files(&search, now_ms).await.unwrap().0, found);
            assert_eq!(db.expired_media_files(now_ms, None, 10).await.unwrap().len(), expired);
        }
        for is_first in [true, false] {
            let mut tx = db.begin().await.unwrap();
            assert_eq!(Db::delete_media_file(&mut tx, file.id, 6000).await.unwrap(), is_first);
            tx.commit().await.unwrap();
        }
        assert!(db.expired_media_files(9000, None, 10).await.unwrap().is_empty());
    }
}
