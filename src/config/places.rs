//! The place of each key of a file, for mistakes that are found after its types are known.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

/// The places of a file, read when the first one is asked for.
pub(super) struct Places<'a> {
    text: &'a str,
    root: Option<Node>,
}

/// A node of the YAML.
#[derive(Debug, Default)]
enum Node {
    Map(Vec<(String, Spanned<Self>)>),
    Seq(Vec<Spanned<Self>>),
    #[default]
    Scalar,
}

impl<'a> Places<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, root: None }
    }

    /// The place of `signals[3].latencyQuantile.quantile`, or of the nearest part of that path
    /// which is written.
    pub(super) fn find(&mut self, path: &str) -> Option<Location> {
        let text = self.text;
        let mut node = self.root.get_or_insert_with(|| {
            let mut root = Node::Scalar;
            // Whether there are more documents has been told before.
            let _trailing = serde_saphyr::with_deserializer_from_str(text, |deserializer| {
                root = Node::deserialize(deserializer)?;
                Ok(())
            });
            root
        }) as &Node;
        let mut found = None;
        for step in path.split(['.', '[']) {
            let next = match (node, step.strip_suffix(']').and_then(|step| step.parse().ok())) {
                (Node::Seq(items), Some(index)) => items.get::<usize>(index),
                (Node::Map(entries), None) => {
                    entries.iter().find(|(key, _)| key == step).map(|(_, value)| value)
                }
                _ => None,
            };
            let Some(next) = next else { break };
            found = Some(next.referenced);
            node = &next.value;
        }
        found
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Map(entries))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Node::Seq(items))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, it: D) -> Result<Node, D::Error> {
        IgnoredAny::deserialize(it).map(|_| Node::Scalar)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_str<E>(self, _: &str) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar)
    }
}
