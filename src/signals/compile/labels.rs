//! Whose a series is: which labels name the object of a signal, or its pods.

use std::sync::Arc;

use super::Compiler;
use super::sources::Common;
use crate::promql::matcher::is_label_name;
use crate::promql::re2;
use crate::signals::definition::SeriesLabels;
use crate::signals::leaf::Place;
use crate::signals::preset::{ObjectLabels, Preset};
use crate::signals::query::{CONFINING_LABEL as NAMESPACE, Key};
use crate::signals::signal::On;

/// The labels where neither a person nor a preset names others.
const POD: &str = "pod";

impl Compiler<'_> {
    /// The labels to sum by, and where the samples of an object are then found.
    pub(super) fn key(
        &mut self,
        it: &Common<'_>,
        preset: Option<&Preset>,
        on: &On,
    ) -> Option<(Arc<Key>, Place)> {
        let written = it.labels.cloned().unwrap_or_default();
        let (key, place) = self.place(it, &written, preset, on)?;
        let Key::Labels { namespace, object } = &key else {
            self.confine(it, &key, place);
            return Some((Arc::new(key), place));
        };
        for (label, field) in [(namespace, "namespace"), (object, "object")] {
            if let Some(label) = label.as_deref().filter(|label| !is_label_name(label)) {
                self.mistake(
                    format!("{}.labels.{field}", it.path),
                    format!("{label:?} is no label name"),
                );
            }
        }
        self.confine(it, &key, place);
        Some((Arc::new(key), place))
    }

    fn place(
        &mut self,
        it: &Common<'_>,
        written: &SeriesLabels,
        preset: Option<&Preset>,
        on: &On,
    ) -> Option<(Key, Place)> {
        let pods = preset.map(|preset| preset.labels_of("pods"));
        let named = match on {
            On::Objects(resource) => resource.to_string(),
            On::External => String::new(),
        };
        let direct = preset.and_then(|preset| preset.labels_of(&named));
        let is_namespace = named == "namespaces" || *on == On::External;
        if is_namespace && written.object.is_none() {
            let known = pods.flatten().or_else(|| preset?.objects.iter().find(|it| it.is_plain()));
            let namespace = namespace_label(written, known);
            let place = Place::Namespace { namespaced: namespace.is_some() };
            return Some((Key::Labels { namespace, object: None }, place));
        }
        if let Some(object) = &written.object {
            let namespace = namespace_label(written, direct.or_else(|| pods.flatten()));
            let place = Place::Object { namespaced: namespace.is_some() };
            return Some((Key::Labels { namespace, object: Some(object.as_str().into()) }, place));
        }
        if let Some(labels) = direct.filter(|_| written.pod.is_none()) {
            return self.of_preset(it, written, labels);
        }
        if written.pod.is_none() && pods == Some(None) {
            let kinds: Vec<_> = preset.into_iter().flat_map(Preset::kinds).collect();
            let what = format!(
                "the preset {} names {} and no pods, so that nothing is known of {named}: name the \
                 label under `{}.labels.object`",
                it.preset.unwrap_or_default(),
                kinds.join(", "),
                it.path
            );
            self.mistake("on", what);
            return None;
        }
        let namespace = namespace_label(written, pods.flatten());
        let known = pods.flatten().and_then(|labels| labels.object.as_deref());
        let pod = written.pod.as_deref().or(known).unwrap_or(POD);
        let namespaced = namespace.is_some();
        let place =
            if named == "pods" { Place::Object { namespaced } } else { Place::Pods { namespaced } };
        Some((Key::Labels { namespace, object: Some(pod.into()) }, place))
    }

    fn of_preset(
        &mut self,
        it: &Common<'_>,
        written: &SeriesLabels,
        labels: &ObjectLabels,
    ) -> Option<(Key, Place)> {
        let object: Option<Arc<str>> = labels.object.as_deref().map(Arc::from);
        let pattern = labels.extract.as_deref().or(labels.joined.as_deref());
        if let (Some(pattern), Some(label)) = (pattern, object.clone()) {
            if let Err(error) = re2::compile(pattern) {
                self.mistake(format!("{}.preset", it.path), error.to_string());
                return None;
            }
            let pattern = pattern.into();
            return Some(match labels.extract {
                Some(_) => (Key::Extracted { label, pattern }, Place::Object { namespaced: true }),
                None => (Key::Joined { label, pattern }, Place::Joined),
            });
        }
        let namespace = namespace_label(written, Some(labels));
        let place = match object {
            Some(_) => Place::Object { namespaced: namespace.is_some() },
            None => Place::Namespace { namespaced: namespace.is_some() },
        };
        Some((Key::Labels { namespace, object }, place))
    }

    /// A signal of one namespace chooses its series, so it may not choose as well what counts as
    /// its namespace: a label of that name could say anything.
    fn confine(&mut self, it: &Common<'_>, key: &Key, place: Place) {
        let Some(namespace) = self.namespace else {
            return;
        };
        let label = match key {
            Key::Labels { namespace, .. } => namespace.as_deref(),
            Key::Extracted { .. } | Key::Joined { .. } => None,
        };
        let chosen = it.series.is_some() || it.preset.is_none();
        let relabelled = it.labels.is_some_and(|labels| labels.namespace.is_some());
        if place == Place::Joined || ((chosen || relabelled) && label != Some(NAMESPACE)) {
            let what = format!(
                "a Signal sees namespace {namespace} alone, which it knows by the label \
                 `namespace`: use a ClusterSignal for series that name theirs in another way"
            );
            self.mistake(format!("{}.labels.namespace", it.path), what);
        }
    }
}

impl ObjectLabels {
    fn is_plain(&self) -> bool {
        self.extract.is_none() && self.joined.is_none()
    }
}

/// What is written, or known, or usual; empty stands for none.
fn namespace_label(written: &SeriesLabels, known: Option<&ObjectLabels>) -> Option<Arc<str>> {
    let usual = known.is_none().then_some(NAMESPACE);
    let known = known.and_then(|labels| labels.namespace.as_deref());
    let label = written.namespace.as_deref().or(known).or(usual)?;
    (!label.is_empty()).then(|| label.into())
}
