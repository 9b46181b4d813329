//! Small facts kept in the database, and the counters behind the numeric ids that clients see.

use sqlx::{AnyConnection, Row};

use super::{Db, Result, at};

impl Db {
    /// The value of a setting, if it was ever set.
    pub async fn setting(&self, name: &str) -> Result<Option<String>> {
        let row = sqlx::query("SELECT value FROM setting WHERE name = $1")
            .bind(name)
            .fetch_optional(self.reader())
            .await
            .map_err(at("read a setting"))?;
        row.map(|row| row.try_get(0).map_err(at("read a setting"))).transpose()
    }

    /// Sets a setting only if nobody did before. True for the one that did: of several nodes
    /// starting at once the others wait for its transaction and read `false`.
    pub async fn claim_setting(tx: &mut AnyConnection, name: &str, value: &str) -> Result<bool> {
        let done = sqlx::query(
            "INSERT INTO setting (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
        )
        .bind(name)
        .bind(value)
        .execute(tx)
        .await
        .map_err(at("claim a setting"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Sets a setting, whatever it was.
    pub async fn set_setting(&self, name: &str, value: &str) -> Result<()> {
        sqlx::query(
            "INSERT INTO setting (name, value) VALUES ($1, $2) \
             ON CONFLICT (name) DO UPDATE SET value = $2",
        )
        .bind(name)
        .bind(value)
        .execute(self.pool())
        .await
        .map_err(at("change a setting"))?;
        Ok(())
    }

    /// The next number of a counter: 1, 2, 3, ... The row stays locked until the transaction ends,
    /// so whoever counts rows after this sees every row numbered before.
    pub(crate) async fn next_number(tx: &mut AnyConnection, counter: &str) -> Result<i64> {
        let row = sqlx::query(
            "INSERT INTO counter (name, next) VALUES ($1, 1) \
             ON CONFLICT (name) DO UPDATE SET next = counter.next + 1 RETURNING next",
        )
        .bind(counter)
        .fetch_one(tx)
        .await
        .map_err(at("take a number"))?;
        row.try_get(0).map_err(at("take a number"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::callback::testing::databases;

    #[tokio::test]
    async fn numbers_count_up_and_settings_are_claimed_once() {
        for test in databases().await {
            let db = &test.db;
            for wanted in 1..4 {
                let mut tx = db.begin().await.unwrap();
                assert_eq!(Db::next_number(&mut tx, "a").await.unwrap(), wanted);
                tx.commit().await.unwrap();
            }
            let mut tx = db.begin().await.unwrap();
            assert_eq!(Db::next_number(&mut tx, "b").await.unwrap(), 1);
            assert!(Db::claim_setting(&mut tx, "s", "one").await.unwrap());
            assert!(!Db::claim_setting(&mut tx, "s", "two").await.unwrap());
            tx.commit().await.unwrap();
            assert_eq!(db.setting("s").await.unwrap().as_deref(), Some("one"));
            assert_eq!(db.setting("t").await.unwrap(), None);
            for value in ["three", "four"] {
                db.set_setting("t", value).await.unwrap();
                assert_eq!(db.setting("t").await.unwrap().as_deref(), Some(value));
            }
        }
    }
}
