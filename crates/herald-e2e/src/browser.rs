//! A real browser.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::{binaries, sandbox::Sandbox, script::Script};

/// Debian's name, and those of others.
const CHROMIUM: [&str; 4] =
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// A cold start on a busy machine.
const START: Duration = Duration::from_secs(90);

/// One command, which waits by itself for what it acts upon.
const COMMAND: Duration = Duration::from_secs(30);

/// Chromium with one page in it.
#[derive(Debug)]
pub struct Browser {
    script: Script,
    console: Vec<String>,
}

impl Browser {
    /// Starts one and opens this page.
    ///
    /// # Errors
    ///
    /// When there is no Chromium, or it does not show the page.
    pub async fn open(sandbox: &mut Sandbox, url: &str) -> anyhow::Result<Self> {
        Self::start(sandbox, json!({"url": url})).await
    }

    /// Starts one and shows it this HTML, from an origin that is nobody else's.
    ///
    /// # Errors
    ///
    /// When there is no Chromium, or it does not show the page.
    pub async fn show(sandbox: &mut Sandbox, html: &str) -> anyhow::Result<Self> {
        Self::start(sandbox, json!({"html": html})).await
    }

    async fn start(sandbox: &mut Sandbox, mut config: Value) -> anyhow::Result<Self> {
        let chromium = CHROMIUM.into_iter().find_map(|name| binaries::system(name).ok());
        let chromium = chromium.context("Chromium is not installed; run: scripts/setup.sh test")?;
        config["chromium"] = json!(chromium);
        let script = sandbox.node("browser.mjs", &config)?;
        let mut browser = Self { script, console: Vec::new() };
        browser.until("page", START).await?;
        Ok(browser)
    }

    /// Clicks on what a CSS selector selects.
    ///
    /// # Errors
    ///
    /// When there is no such thing, or more than one.
    pub async fn click(&mut self, selector: &str) -> anyhow::Result<()> {
        self.command(json!({"do": "click", "selector": selector})).await?;
        Ok(())
    }

    /// Fills an input field.
    ///
    /// # Errors
    ///
    /// When there is no such field, or more than one.
    pub async fn fill(&mut self, selector: &str, value: &str) -> anyhow::Result<()> {
        self.command(json!({"do": "fill", "selector": selector, "value": value})).await?;
        Ok(())
    }

    /// Evaluates JavaScript in the page.
    ///
    /// # Errors
    ///
    /// When it throws.
    pub async fn evaluate(&mut self, code: &str) -> anyhow::Result<Value> {
        self.command(json!({"do": "evaluate", "code": code})).await
    }

    /// Writes a PNG of the whole page.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub async fn screenshot(&mut self, path: &Path) -> anyhow::Result<()> {
        self.command(json!({"do": "screenshot", "path": path})).await?;
        Ok(())
    }

    /// The next line of the page's console that was not asked for yet.
    ///
    /// # Errors
    ///
    /// When none comes within `patience`, or the page fails.
    pub async fn console(&mut self, patience: Duration) -> anyhow::Result<String> {
        if self.console.is_empty() {
            let line = self.until("console", patience).await?;
            return Ok(text(&line));
        }
        Ok(self.console.remove(0))
    }

    async fn command(&mut self, command: Value) -> anyhow::Result<Value> {
        self.script.command(&command).await?;
        let done = self.until("done", COMMAND).await;
        Ok(done.with_context(|| format!("the browser was told {command}"))?["value"].take())
    }

    /// The next thing of this kind. What the console says meanwhile is kept, and an error of the
    /// page is an error.
    async fn until(&mut self, kind: &str, patience: Duration) -> anyhow::Result<Value> {
        loop {
            let said = self.script.next(patience).await?;
            match said["type"].as_str() {
                Some(found) if found == kind => return Ok(said),
                Some("console") => self.console.push(text(&said)),
                _ => bail!("the page fails: {said}"),
            }
        }
    }
}

fn text(line: &Value) -> String {
    line["text"].as_str().unwrap_or_default().to_owned()
}
