//! The program: arguments, configuration, logs, signals and the exit code.
//!
//! Exit codes: 0 clean, 1 a failure while running (a command that fails, a file that `verify` does
//! not find to be what was sent, or what `doctor` finds to fail), 2 a bad command line or
//! configuration, found before anything is bound.

use std::{
    env,
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use anyhow::Context;
use liverec::{
    app,
    cli::{Arguments, Command, KeysCommand, UsageError},
    config::{self, Config, ConfigError, LogFormat},
};
use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, level_filters::LevelFilter, warn};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{FilterExt, filter_fn},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// Log target of the reason why the program ends with exit code 1; no `log.level` hides it.
const FATAL: &str = "liverec::fatal";

fn main() -> ExitCode {
    let arguments = Arguments::read();
    let loaded = Config::load(&arguments.sources());
    let config = match loaded.and_then(|config| app::check(&config).map(|()| config)) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("liverec: {error}");
            return ExitCode::from(2);
        }
    };
    match run(&arguments, config) {
        Ok(code) => code,
        Err(error) => {
            let is_wrong = |cause: &(dyn std::error::Error + 'static)| {
                cause.is::<ConfigError>() || cause.is::<UsageError>()
            };
            let is_config = error.chain().any(is_wrong);
            // Whoever reads the log of a server reads it there; whoever types a command, here.
            let is_server = matches!(arguments.command(), Command::Serve);
            if is_server && tracing::dispatcher::has_been_set() {
                error!(target: FATAL, "{error:#}");
            } else {
                eprintln!("liverec: {error:#}");
            }
            if is_config { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

fn run(arguments: &Arguments, mut config: Config) -> anyhow::Result<ExitCode> {
    let command = arguments.command();
    if let Command::Demo { verbose } = &command {
        config.log.level = if *verbose { "info" } else { "error" }.to_owned();
    }
    if !matches!(
        command,
        Command::PushUrl(_) | Command::Verify(_) | Command::Doctor(_) | Command::Keys { .. }
    ) {
        start_logs(&config.log)?;
    }
    let runtime = Runtime::new().context("start the runtime")?;
    let shutdown = CancellationToken::new();
    let result = runtime.block_on(async {
        match command {
            Command::Serve => until_signal(app::serve(config, shutdown.clone()), &shutdown).await?,
            Command::Demo { .. } => until_signal(app::demo(shutdown.clone()), &shutdown).await?,
            Command::Remake(asked) => {
                let remade = app::remake(&config, &asked.of, asked.format, shutdown.clone());
                until_signal(remade, &shutdown).await?;
            }
            Command::GiveUp(asked) => {
                app::give_up(&config, asked.session, asked.node.as_deref()).await?;
            }
            Command::Backup { dir } => app::backup(&config, &arguments.sources(), &dir).await?,
            Command::PushUrl(push_url) => push_url.run(&config).await?,
            Command::Keys { command } => {
                let text = match &command {
                    KeysCommand::Create { role, sub_app, note } => {
                        let role = KeysCommand::role(role, *sub_app)?;
                        app::create_key(&config, role, note).await?
                    }
                    KeysCommand::List => app::list_keys(&config).await?,
                    KeysCommand::Revoke { secret_id } => {
                        app::revoke_key(&config, secret_id).await?
                    }
                };
                io::stdout().write_all(text.as_bytes()).context("write to stdout")?;
            }
            Command::Verify(asked) => {
                let is_verified = app::verify(&config, asked.file, asked.json).await?;
                return Ok(if is_verified { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
            Command::Doctor(asked) => {
                let is_well = app::doctor(&config, asked.json, asked.fix).await?;
                return Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
        }
        Ok(ExitCode::SUCCESS)
    });
    // a blocking call that hangs (a dead disk) must not keep the process alive
    runtime.shutdown_background();
    result
}

/// Runs `work`, cancelling `shutdown` at the first SIGTERM or SIGINT and giving up at the second.
async fn until_signal(
    work: impl Future<Output = anyhow::Result<()>>,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("catch SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("catch SIGINT")?;
    tokio::pin!(work);
    loop {
        let name = tokio::select! {
            result = &mut work => return result,
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        if shutdown.is_cancelled() {
            warn!(
                signal = name,
                "stopping at once; what is not stored is stored at the next start"
            );
            anyhow::bail!("stopped by a second signal");
        }
        info!("{name} received");
        shutdown.cancel();
    }
}

/// Sends logs to stderr, in the configured shape.
fn start_logs(log: &config::Log) -> anyhow::Result<()> {
    // the level was checked when the configuration was read
    let level = EnvFilter::builder().parse(&log.level).context("log.level")?;
    let always = filter_fn(|line| [app::LISTENING_TARGET, FATAL].contains(&line.target()))
        .with_max_level_hint(LevelFilter::INFO);
    let has_colour =
        io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(has_colour);
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match log.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(level.or(always))).init();
    Ok(())
}
