//! stub
use crate::fault::Fault;
/// A template.
#[derive(Debug)]
pub struct Template;
impl Template {
    /// Compile.
    pub fn compile(_source: &str) -> Result<Template, Fault> {
        Ok(Template)
    }
    /// Value.
    pub fn value(&self, _payload: &str) -> Result<Option<String>, Fault> {
        Ok(None)
    }
    /// Command.
    pub fn command(&self, _value: &serde_json::Value) -> Result<String, Fault> {
        Ok(String::new())
    }
}
