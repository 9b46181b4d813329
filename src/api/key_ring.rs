//! The key pairs that sign requests: the configured one, and those in the database.
//!
//! A secret key in the database is sealed (AES-256-GCM under a master key that is kept outside it,
//! bound to its id), so that a copy of the database alone signs nothing. Nothing here is ever
//! logged or answered.

use std::{collections::HashMap, sync::Arc};

use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom, SystemRandom},
};

use crate::{
    api::caller::Caller,
    db::api_key::SealedKey,
    domain::api_key::{ApiKey, Role},
};

/// Bytes of a master key.
pub const MASTER_KEY_BYTES: usize = 32;
/// Characters of a secret key.
const SECRET_CHARS: usize = 40;

/// A key could not be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
    /// The master key is another one, or the row was changed.
    #[error("the secret cannot be opened with this master key")]
    Sealed,
}

/// Seals secrets.
#[derive(Clone)]
pub struct MasterKey(Arc<LessSafeKey>);

impl MasterKey {
    /// A key of these bytes.
    pub fn new(bytes: &[u8; MASTER_KEY_BYTES]) -> Result<Self, KeyError> {
        let key = UnboundKey::new(&AES_256_GCM, bytes).map_err(|_| KeyError::Sealed)?;
        Ok(Self(Arc::new(LessSafeKey::new(key))))
    }

    /// Encrypts the secret of a key; the answer is a nonce and the text, in hexadecimal.
    fn seal(&self, secret_id: &str, secret: &str) -> Result<String, KeyError> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| KeyError::Random)?;
        let mut text = secret.as_bytes().to_vec();
        let unique = Nonce::assume_unique_for_key(nonce);
        self.0
            .seal_in_place_append_tag(unique, Aad::from(secret_id), &mut text)
            .map_err(|_| KeyError::Sealed)?;
        Ok(hex::encode([&nonce[..], &text].concat()))
    }

    /// Decrypts the secret of a key.
    fn open(&self, secret_id: &str, sealed: &str) -> Result<String, KeyError> {
        let bytes = hex::decode(sealed).map_err(|_| KeyError::Sealed)?;
        let (nonce, text) = bytes.split_first_chunk::<NONCE_LEN>().ok_or(KeyError::Sealed)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let mut text = text.to_vec();
        let plain = self
            .0
            .open_in_place(nonce, Aad::from(secret_id), &mut text)
            .map_err(|_| KeyError::Sealed)?;
        String::from_utf8(plain.to_vec()).map_err(|_| KeyError::Sealed)
    }

    /// Makes a new key pair. Answers its row, and the secret to be shown once.
    pub fn generate(
        &self,
        role: Role,
        note: String,
        now_ms: i64,
    ) -> Result<(SealedKey, String), KeyError> {
        let secret_id = format!("AKID{}", random_text(32)?);
        let secret = random_text(SECRET_CHARS)?;
        let sealed = self.seal(&secret_id, &secret)?;
        let key = ApiKey { secret_id, role, note, created_ms: now_ms, revoked_ms: 0 };
        Ok((SealedKey { key, sealed }, secret))
    }
}

/// Letters and digits from the system's source of random numbers.
fn random_text(chars: usize) -> Result<String, KeyError> {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let random = SystemRandom::new();
    let mut text = String::with_capacity(chars);
    while text.len() < chars {
        let mut byte = [0];
        random.fill(&mut byte).map_err(|_| KeyError::Random)?;
        // Above the last whole multiple some characters would come more often.
        if let [byte @ 0..248] = byte {
            let at = usize::from(byte) % ALPHABET.len();
            text.extend(ALPHABET.get(at).map(|byte| char::from(*byte)));
        }
    }
    Ok(text)
}

/// A key pair in force.
pub struct Key {
    /// Who signs with it.
    pub caller: Caller,
    /// Signs; never logged.
    pub secret_key: String,
}

/// The key pairs in force.
#[derive(Default)]
pub struct KeyRing(HashMap<String, Arc<Key>>);

impl KeyRing {
    /// The configured pair, and those of the rows that are in force and can be opened; the ids of
    /// those that cannot.
    pub fn new(
        main: (&str, &str),
        rows: &[SealedKey],
        master: Option<&MasterKey>,
    ) -> (Self, Vec<String>) {
        let mut keys = HashMap::new();
        let mut closed = Vec::new();
        for row in rows.iter().filter(|row| row.key.revoked_ms == 0) {
            let id = &row.key.secret_id;
            match master.and_then(|master| master.open(id, &row.sealed).ok()) {
                Some(secret_key) => {
                    let caller = Caller { secret_id: id.clone(), role: row.key.role };
                    keys.insert(id.clone(), Arc::new(Key { caller, secret_key }));
                }
                None => closed.push(id.clone()),
            }
        }
        // Last: nobody takes the place of the configured key.
        let (id, secret_key) = (main.0.to_owned(), main.1.to_owned());
        let caller = Caller { secret_id: id.clone(), role: Role::Admin };
        keys.insert(id, Arc::new(Key { caller, secret_key }));
        (Self(keys), closed)
    }

    /// The key of this id.
    pub fn get(&self, secret_id: &str) -> Option<Arc<Key>> {
        self.0.get(secret_id).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn master(byte: u8) -> MasterKey {
        MasterKey::new(&[byte; MASTER_KEY_BYTES]).unwrap()
    }

    #[test]
    fn a_secret_opens_with_its_master_key_and_id_only() {
        let (row, secret) = master(1).generate(Role::ReadOnly, String::new(), 5).unwrap();
        let id = &row.key.secret_id;
        assert_eq!((secret.len(), id.len()), (SECRET_CHARS, 36));
        assert!(!row.sealed.contains(&secret) && !row.sealed.contains(&hex::encode(&secret)));
        assert_eq!(master(1).open(id, &row.sealed).unwrap(), secret);
        assert_eq!(master(2).open(id, &row.sealed), Err(KeyError::Sealed));
        assert_eq!(master(1).open("AKIDother", &row.sealed), Err(KeyError::Sealed));
        for odd in ["", "00", "zz", &row.sealed[2..], &format!("{}00", row.sealed)] {
            assert_eq!(master(1).open(id, odd), Err(KeyError::Sealed), "{odd}");
        }
        let (other, other_secret) = master(1).generate(Role::Admin, String::new(), 5).unwrap();
        assert!(other.key.secret_id != *id && other_secret != secret);
    }

    #[test]
    fn the_ring_has_what_is_in_force_and_can_be_opened() {
        let (open, secret) = master(1).generate(Role::SubApp(7), String::new(), 5).unwrap();
        let (foreign, _) = master(2).generate(Role::Admin, String::new(), 5).unwrap();
        let (mut revoked, _) = master(1).generate(Role::Admin, String::new(), 5).unwrap();
        revoked.key.revoked_ms = 9;
        let rows = [open.clone(), foreign.clone(), revoked.clone()];
        let (ring, closed) = KeyRing::new(("main", "secret"), &rows, Some(&master(1)));
        assert_eq!(closed, [foreign.key.secret_id]);
        let key = ring.get(&open.key.secret_id).unwrap();
        assert_eq!((key.caller.role, key.secret_key.as_str()), (Role::SubApp(7), secret.as_str()));
        assert_eq!(ring.get("main").unwrap().caller.role, Role::Admin);
        assert!(ring.get(&revoked.key.secret_id).is_none());
        let (ring, closed) = KeyRing::new(("main", "secret"), &rows, None);
        assert_eq!(closed.len(), 2);
        assert!(ring.get(&open.key.secret_id).is_none() && ring.get("main").is_some());
    }
}
