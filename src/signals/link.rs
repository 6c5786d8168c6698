//! Composites over other signals: each name becomes the signal that it means.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::signals::compile::Mistake;
use crate::signals::inputs::{Outcome, Source};
use crate::signals::signal::{Kind, On, Signal};

/// The signals that could be linked, and of the others the index and what is wrong.
pub type Linked = (Vec<(usize, Arc<Signal>)>, Vec<(usize, Mistake)>);

/// Puts signals in the place of their names. A name means a signal on the same kind among these,
/// or else one that is known outside.
pub fn link(signals: Vec<Signal>, outside: &impl Fn(&On, &str) -> Option<Arc<Signal>>) -> Linked {
    let declared: HashMap<_, _> = (0..)
        .zip(&signals)
        .map(|(index, signal)| ((signal.on.clone(), signal.metric.clone()), index))
        .collect();
    let mut done: HashMap<usize, Arc<Signal>> = HashMap::new();
    let mut mistakes = Vec::new();
    let mut waiting: Vec<(usize, Signal)> = (0..).zip(signals).collect();
    loop {
        let before = waiting.len();
        let mut rest = Vec::new();
        for (index, mut signal) in waiting {
            let on = signal.on.clone();
            let find = |name: &str| {
                let found = match declared.get(&(on.clone(), name.to_owned())) {
                    Some(other) => done.get(other).cloned().ok_or(Unlinked::Later)?,
                    None => outside(&on, name).ok_or(Unlinked::Never)?,
                };
                let is_value = matches!(found.outcome(), None | Some(Outcome::Expression(_)));
                if is_value { Ok(found) } else { Err(Unlinked::NoInput) }
            };
            match resolve(&mut signal, find) {
                Ok(()) => drop(done.insert(index, Arc::new(signal))),
                Err((_, Unlinked::Later)) => rest.push((index, signal)),
                Err((name, Unlinked::Never)) => {
                    let what = format!("there is no other signal {name:?} on {on}");
                    mistakes.push((index, mistake(&signal, &name, what)));
                }
                Err((name, Unlinked::NoInput)) => {
                    let what = format!(
                        "{name:?} is a decision or a forecast, which can be no input of another \
                         signal"
                    );
                    mistakes.push((index, mistake(&signal, &name, what)));
                }
            }
        }
        waiting = rest;
        if waiting.len() == before {
            break;
        }
    }
    // What still waits does so for itself or for a signal that has a mistake.
    let wrong: HashSet<usize> = mistakes.iter().map(|(index, _)| *index).collect();
    for (index, signal) in waiting {
        for name in names(&signal) {
            let other = declared.get(&(signal.on.clone(), name.to_owned()));
            if other.is_some_and(|other| !done.contains_key(other)) {
                let is_wrong = other.is_some_and(|other| wrong.contains(other));
                let why = if is_wrong { "has a mistake" } else { "needs this one in turn" };
                let what = format!("the signal {name:?} {why}");
                mistakes.push((index, mistake(&signal, name, what)));
                break;
            }
        }
    }
    let mut linked: Vec<_> = done.into_iter().collect();
    linked.sort_unstable_by_key(|(index, _)| *index);
    mistakes.sort_by_key(|(index, _)| *index);
    (linked, mistakes)
}

enum Unlinked {
    /// That signal is not linked itself.
    Later,
    Never,
    /// It has no value of now.
    NoInput,
}

/// Links all inputs, or tells the first that cannot be.
fn resolve(
    signal: &mut Signal,
    find: impl Fn(&str) -> Result<Arc<Signal>, Unlinked>,
) -> Result<(), (String, Unlinked)> {
    let Kind::Composite(composite) = &mut signal.kind else {
        return Ok(());
    };
    for input in &mut composite.inputs {
        if let Source::Named(name) = &input.source {
            let found = find(name).map_err(|unlinked| (name.clone(), unlinked))?;
            input.source = Source::Other(found);
        }
    }
    Ok(())
}

fn names(signal: &Signal) -> impl Iterator<Item = &str> {
    let inputs = match &signal.kind {
        Kind::Composite(composite) => composite.inputs.as_slice(),
        Kind::Leaf(_) | Kind::Schedule(_) => &[],
    };
    inputs.iter().filter_map(|input| match &input.source {
        Source::Named(name) => Some(name.as_str()),
        Source::Own(_) | Source::Other(_) => None,
    })
}

fn mistake(signal: &Signal, metric: &str, what: String) -> Mistake {
    let inputs = match &signal.kind {
        Kind::Composite(composite) => composite.inputs.as_slice(),
        Kind::Leaf(_) | Kind::Schedule(_) => &[],
    };
    let is_it = |source: &Source| matches!(source, Source::Named(name) if name == metric);
    let input = inputs.iter().find(|input| is_it(&input.source));
    let path = input.map(|input| match signal.outcome() {
        Some(Outcome::Forecast(_)) => "forecast.of.metric".to_owned(),
        Some(Outcome::Decision(_)) => format!("decision.inputs.{}.metric", input.name),
        _ => format!("composite.inputs.{}.metric", input.name),
    });
    Mistake { path: path.unwrap_or_default(), what }
}
