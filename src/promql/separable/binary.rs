//! Operators with two sides.
//!
//! What decides is whether matching looks at the label: `on` naming it, `ignoring` not naming it,
//! and neither of both. With *one* and *many* for the single and the merged query:
//!
//! | sides | looks in both | in merged alone | in neither |
//! |---|---|---|---|
//! | separable, separable | if both keep the label, or both do not | yes | no: other parts match |
//! | separable, constant | if it is kept | no: other parts matched in single | see below |
//!
//! In neither, a constant that is only looked up does to each part what it does to all: it may be
//! the right side of `and` and `unless`, and the "one" side of `group_left` or `group_right`. The
//! left side of `or` and the hidden side of `unless` are where parts without series show, so a
//! constant there is refused. Numbers are constants that match everything.

use promql_parser::parser::token::{T_LAND, T_LOR, T_LUNLESS};
use promql_parser::parser::value::ValueType;
use promql_parser::parser::{
    BinModifier, BinaryExpr, Expr, LabelModifier, VectorMatchCardinality, VectorMatchFillValues,
};

use super::walk::{Class, Walk, differs};
use super::{Reason, What};

/// Whether matching looks at the label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looks {
    Both,
    Merged,
    Neither,
}

/// The two sides' classes and how they are matched.
struct Sides {
    left: Class,
    right: Class,
    looks: Looks,
    modifier: BinModifier,
}

impl Walk<'_> {
    pub(super) fn binary(
        &self,
        one: &BinaryExpr,
        many: &BinaryExpr,
        merged: &Expr,
    ) -> Result<Class, Reason> {
        let left = self.class(&one.lhs, &many.lhs)?;
        let right = self.class(&one.rhs, &many.rhs)?;
        let single_modifier = one.modifier.clone().unwrap_or_default();
        let modifier = many.modifier.clone().unwrap_or_default();
        if !self.modifiers_are_alike(&single_modifier, &modifier) {
            return Err(differs(merged));
        }
        let looks = match (self.looks(&single_modifier), self.looks(&modifier)) {
            (true, true) => Looks::Both,
            (false, true) => Looks::Merged,
            (false, false) => Looks::Neither,
            (true, false) => return Err(self.mixes(merged, What::Matches)),
        };
        if (left, right) == (Class::Constant, Class::Constant) {
            let is_same = looks != Looks::Merged && one.modifier == many.modifier;
            return if is_same { Ok(Class::Constant) } else { Err(differs(merged)) };
        }
        let is_scalar = |side: &Expr| side.value_type() == ValueType::Scalar;
        if is_scalar(&many.lhs) {
            return Ok(right);
        }
        if is_scalar(&many.rhs) {
            return Ok(left);
        }
        let sides = Sides { left, right, looks, modifier };
        match many.op.id() {
            T_LAND => sides.intersection(),
            T_LUNLESS => sides.difference(),
            T_LOR => sides.union(),
            _ => sides.arithmetic(self.label()),
        }
        .map_err(|what| self.mixes(merged, what))
    }

    fn modifiers_are_alike(&self, one: &BinModifier, many: &BinModifier) -> bool {
        let matching = match (&one.matching, &many.matching) {
            (None, None) => true,
            (Some(one), Some(many)) => {
                one.is_include() == many.is_include() && self.alike(one.labels(), many.labels())
            }
            _ => false,
        };
        let included = match (&one.card, &many.card) {
            (VectorMatchCardinality::ManyToOne(one), VectorMatchCardinality::ManyToOne(many))
            | (VectorMatchCardinality::OneToMany(one), VectorMatchCardinality::OneToMany(many)) => {
                self.alike(one, many)
            }
            (one, many) => one == many,
        };
        matching
            && included
            && one.return_bool == many.return_bool
            && one.fill_values == many.fill_values
    }

    fn looks(&self, modifier: &BinModifier) -> bool {
        modifier.matching.as_ref().is_none_or(|matching| {
            let is_named = matching.labels().labels.iter().any(|it| it == self.label());
            is_named == matching.is_include()
        })
    }
}

impl Sides {
    /// Arithmetic and comparison.
    fn arithmetic(&self, label: &str) -> Result<Class, What> {
        if self.modifier.fill_values != VectorMatchFillValues::default() {
            return Err(What::Fills);
        }
        let included = self.modifier.card.labels();
        if included.is_some_and(|labels| labels.labels.iter().any(|it| it == label)) {
            return Err(What::Rewrites);
        }
        let (many, constant_is_one) = match self.modifier.card {
            VectorMatchCardinality::ManyToOne(_) => (self.left, self.right == Class::Constant),
            VectorMatchCardinality::OneToMany(_) => (self.right, self.left == Class::Constant),
            _ => return self.one_to_one(),
        };
        if self.looks == Looks::Neither && constant_is_one {
            return Ok(many);
        }
        let class = self.matched()?;
        // A constant "many" side has the label where it matches, for the other side has it.
        Ok(if many == Class::Constant { class } else { many })
    }

    /// The result carries the labels that both sides share, or those named by `on`.
    fn one_to_one(&self) -> Result<Class, What> {
        let class = self.matched()?;
        let is_on = self.modifier.matching.as_ref().is_some_and(LabelModifier::is_include);
        let is_dropped = is_on && self.looks == Looks::Merged;
        Ok(if is_dropped { Class::Separable { kept: false } } else { class })
    }

    fn intersection(&self) -> Result<Class, What> {
        match (self.looks, self.left, self.right) {
            (Looks::Neither, left @ Class::Separable { .. }, Class::Constant) => Ok(left),
            (_, left @ Class::Separable { .. }, _) => self.matched().map(|_| left),
            _ => self.matched(),
        }
    }

    fn difference(&self) -> Result<Class, What> {
        if self.left == Class::Constant { Err(What::Fills) } else { self.intersection() }
    }

    fn union(&self) -> Result<Class, What> {
        if self.left == self.right { self.matched() } else { Err(What::Fills) }
    }

    /// Whether the label is equal wherever the sides match, in the merged query as in the single
    /// one.
    fn matched(&self) -> Result<Class, What> {
        let kept = Class::Separable { kept: true };
        let sides = (self.left, self.right);
        match self.looks {
            Looks::Both | Looks::Merged if self.left == self.right => Ok(self.left),
            Looks::Both if matches!(sides, (Class::Constant, it) | (it, Class::Constant) if it == kept) => {
                Ok(kept)
            }
            Looks::Merged if self.left != Class::Constant && self.right != Class::Constant => {
                Ok(Class::Separable { kept: false })
            }
            _ => Err(What::Matches),
        }
    }
}
