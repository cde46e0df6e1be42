//! Chat templates: Jinja, as Hugging Face models carry them.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, ErrorKind, context};
use serde::{Deserialize, Serialize};

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// Its text.
    pub content: String,
}

impl Message {
    /// A message of `role` with `content`.
    #[must_use]
    pub fn new(role: &str, content: &str) -> Self {
        Self { role: role.into(), content: content.into() }
    }
}

/// Why a template could not be read or rendered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// The template is not well formed.
    #[error("the chat template cannot be read: {0}")]
    Malformed(String),
    /// The template failed on these messages, or refused them itself.
    #[error("the chat template failed: {0}")]
    Render(String),
}

/// A model's chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

const NAME: &str = "chat";

impl ChatTemplate {
    /// Reads a template; `bos` and `eos` are the texts of those tokens, empty where there are none.
    ///
    /// # Errors
    /// [`TemplateError::Malformed`] when it is not well formed.
    pub fn new(source: &str, bos: &str, eos: &str) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        // What Hugging Face sets; the builder fails only on delimiters, which stay as they are.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|e| TemplateError::Malformed(e.to_string()))?);
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", refuse);
        environment
            .add_template_owned(NAME, source.to_owned())
            .map_err(|e| TemplateError::Malformed(format!("{e:#}")))?;
        Ok(Self { environment, bos: bos.into(), eos: eos.into() })
    }

    /// The text of a conversation; with `add_generation_prompt` it ends where the assistant's
    /// next message begins.
    ///
    /// # Errors
    /// [`TemplateError::Render`] when the template fails or refuses the messages.
    pub fn render(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<String, TemplateError> {
        let failed = |e: minijinja::Error| TemplateError::Render(format!("{e:#}"));
        let template = self.environment.get_template(NAME).map_err(failed)?;
        let values = context! {
            messages => Value::from(Serde(messages)),
            add_generation_prompt,
            bos_token => &self.bos,
            eos_token => &self.eos,
        };
        template.render(values).map_err(failed)
    }
}

fn refuse(message: String) -> Result<String, minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMOLLM2: &str = "{% for message in messages %}{% if loop.first and messages[0]['role'] \
        != 'system' %}{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained \
        by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + \
        message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}\
        {{ '<|im_start|>assistant\n' }}{% endif %}";

    #[test]
    fn the_default_system_prompt_comes_only_without_one() {
        let t = ChatTemplate::new(SMOLLM2, "<|im_start|>", "<|im_end|>").unwrap();
        let user = Message::new("user", "Hi {{ x }}");
        assert_eq!(
            t.render(std::slice::from_ref(&user), true).unwrap(),
            "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging \
             Face<|im_end|>\n<|im_start|>user\nHi {{ x }}<|im_end|>\n<|im_start|>assistant\n"
        );
        assert_eq!(
            t.render(&[Message::new("system", "S"), user], false).unwrap(),
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nHi {{ x }}<|im_end|>\n"
        );
    }

    #[test]
    fn python_methods_and_refusals_work() {
        let source = "{%- if messages[0].role == 'tool' %}{{ raise_exception('no tools') }}\
            {%- endif %}{{ bos_token }}{% for m in messages %}\n    \
            {% if m.content.strip().startswith('a') %}\
            {{ m['content'].strip() | upper }}{% endif %}\n{% endfor %}";
        let t = ChatTemplate::new(source, "<s>", "</s>").unwrap();
        assert_eq!(t.render(&[Message::new("user", " ab ")], false).unwrap(), "<s>AB");
        let refused = t.render(&[Message::new("tool", "x")], false).unwrap_err();
        assert!(refused.to_string().contains("no tools"));
        assert!(ChatTemplate::new("{% if %}", "", "").is_err());
    }
}
