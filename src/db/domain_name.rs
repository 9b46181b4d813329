//! Names of domains: push domains and playback domains share them, and one limit (`limits.domains`).
//!
//! Both are decided in the transaction that registers a name: whoever looks before it begins may be
//! overtaken by another who does the same.

use sqlx::{Any, AnyConnection, Row, Transaction};

use super::{Db, Result, at};
use crate::domain::{play_domain::PlayDomain, push_domain::PushDomain, stream::DomainName};

/// The counter whose row is locked by whoever registers a name.
const LOCK: &str = "domain";

/// What became of a domain that was to be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addition {
    /// It is stored.
    Added,
    /// There is a domain of this name already, of either kind.
    Exists,
    /// There are `limits.domains` already.
    Full,
}

/// Why a domain that a rule or a task names cannot be registered as a push domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unregistered {
    /// It is a playback domain.
    Playback,
    /// There are `limits.domains` already.
    Full,
}

/// How a name stands.
enum Standing {
    Free,
    Push,
    Playback,
    Full,
}

impl Db {
    /// Adds a push domain.
    pub async fn add_push_domain(&self, domain: &PushDomain) -> Result<Addition> {
        let mut tx = self.begin().await?;
        if let Some(refused) = self.refusal(&mut tx, &domain.name).await? {
            return Ok(refused);
        }
        Self::insert_domain(&mut tx, domain).await?;
        self.commit(tx, "add a push domain").await?;
        Ok(Addition::Added)
    }

    /// Adds a playback domain.
    pub async fn add_play_domain(&self, domain: &PlayDomain) -> Result<Addition> {
        let mut tx = self.begin().await?;
        if let Some(refused) = self.refusal(&mut tx, &domain.name).await? {
            return Ok(refused);
        }
        Self::insert_play_domain(&mut tx, domain).await?;
        self.commit(tx, "add a playback domain").await?;
        Ok(Addition::Added)
    }

    /// Registers a push domain that uses the default domain's push keys, unless it is registered, at
    /// `now_ms` (unix milliseconds); or says why it cannot be. Callers do this in the transaction that
    /// stores what names the domain, so that a rule or a task is never silently dead.
    pub async fn register_domain(
        &self,
        tx: &mut Transaction<'static, Any>,
        name: &DomainName,
        now_ms: i64,
    ) -> Result<Option<Unregistered>> {
        if Self::push_domain(tx, name).await?.is_some() {
            return Ok(None);
        }
        match self.standing(tx, name).await? {
            Standing::Free => {
                let domain = PushDomain::new(name.clone(), None, now_ms);
                Self::insert_domain(tx, &domain).await?;
                Ok(None)
            }
            Standing::Push => Ok(None),
            Standing::Playback => Ok(Some(Unregistered::Playback)),
            Standing::Full => Ok(Some(Unregistered::Full)),
        }
    }

    async fn refusal(
        &self,
        tx: &mut Transaction<'static, Any>,
        name: &DomainName,
    ) -> Result<Option<Addition>> {
        Ok(match self.standing(tx, name).await? {
            Standing::Free => None,
            Standing::Push | Standing::Playback => Some(Addition::Exists),
            Standing::Full => Some(Addition::Full),
        })
    }

    /// How a name stands; nobody else registers one until the transaction ends.
    async fn standing(&self, tx: &mut AnyConnection, name: &DomainName) -> Result<Standing> {
        let action = "look whether a domain can be registered";
        Self::next_number(tx, LOCK).await?;
        let row = sqlx::query(
            "SELECT (SELECT COUNT(*) FROM push_domain WHERE name = $1) AS push, \
             (SELECT COUNT(*) FROM play_domain WHERE name = $1) AS play, \
             (SELECT COUNT(*) FROM push_domain) + (SELECT COUNT(*) FROM play_domain) AS every",
        )
        .bind(name.as_str())
        .fetch_one(tx)
        .await
        .map_err(at(action))?;
        let number = |column: &str| row.try_get::<i64, _>(column).map_err(at(action));
        Ok(match (number("push")?, number("play")?, number("every")?) {
            (0, 0, every) if every >= self.limits.domains => Standing::Full,
            (0, 0, _) => Standing::Free,
            (0, ..) => Standing::Playback,
            _ => Standing::Push,
        })
    }
}
