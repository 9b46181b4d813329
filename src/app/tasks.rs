//! The root tasks of the server: who runs, and who has ended.

use tokio::task::JoinSet;

/// The root tasks by name.
#[derive(Default)]
pub struct Tasks {
    set: JoinSet<&'static str>,
    ended: Vec<&'static str>,
}

impl Tasks {
    /// Starts one.
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.set.spawn(async move {
            task.await;
            name
        });
    }

    /// Waits for the next root task to end; says which.
    pub async fn next(&mut self) -> String {
        match self.set.join_next().await {
            Some(Ok(name)) => {
                self.ended.push(name);
                name.to_owned()
            }
            Some(Err(error)) => error.to_string(),
            None => std::future::pending().await,
        }
    }

    /// Waits until this one has ended.
    pub async fn wait_for(&mut self, name: &'static str) {
        while !self.ended.contains(&name) && !self.set.is_empty() {
            self.next().await;
        }
    }

    /// Waits until all have ended.
    pub async fn wait_for_all(&mut self) {
        while !self.set.is_empty() {
            self.next().await;
        }
    }

    /// Ends those that still run.
    pub fn abort_all(&mut self) {
        self.set.abort_all();
    }
}
