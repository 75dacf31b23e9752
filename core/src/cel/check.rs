//! What can be told of an expression before it runs: names that are not there.

use std::collections::BTreeSet;

use cel::common::ast::{EntryExpr, Expr, StructExpr};
use cel::parser::Expression;

use super::{MadeType, Typing, functions, operators};

/// The fields of a variable that an expression selects by name.
pub(super) fn selected<'e>(expression: &'e Expression, of: &str) -> BTreeSet<&'e str> {
    let mut found = BTreeSet::new();
    select_below(expression, of, &mut found);
    found
}

fn select_below<'e>(expression: &'e Expression, of: &str, found: &mut BTreeSet<&'e str>) {
    if let Expr::Select(select) = &expression.expr
        && matches!(&select.operand.expr, Expr::Ident(name) if name == of)
    {
        found.insert(&select.field);
    }
    parts(expression).into_iter().for_each(|part| select_below(part, of, found));
}

/// The expressions an expression is made of.
fn parts(expression: &Expression) -> Vec<&Expression> {
    match &expression.expr {
        Expr::Select(select) => vec![&select.operand],
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
        Expr::Comprehension(loops) => {
            vec![&loops.iter_range, &loops.accu_init, &loops.loop_cond, &loops.loop_step, &loops.result]
        }
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => map.entries.iter().flat_map(|entry| parts_of_entry(&entry.expr)).collect(),
        Expr::Struct(made) => made.entries.iter().flat_map(|entry| parts_of_entry(&entry.expr)).collect(),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => Vec::new(),
    }
}

fn parts_of_entry(entry: &EntryExpr) -> Vec<&Expression> {
    match entry {
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
        EntryExpr::StructField(field) => vec![&field.value],
    }
}

/// What a name may stand for.
struct Scope<'s> {
    names: Vec<(&'s str, Option<&'s Typing>)>,
    types: &'s [MadeType],
}

/// Checks that every variable, function, type and field is there.
pub(super) fn check(
    expression: &Expression,
    variables: &[(&str, Option<&Typing>)],
    types: &[MadeType],
) -> Result<(), String> {
    let mut scope = Scope { names: variables.to_vec(), types };
    scope.check(expression).map(drop)
}

impl<'s> Scope<'s> {
    /// The type of an expression, where it is that of a value of an object.
    fn check(&mut self, expression: &'s Expression) -> Result<Option<&'s Typing>, String> {
        match &expression.expr {
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) => {
                let of = self.check(&select.operand)?;
                field(of, &select.field)
            }
            Expr::Call(call) => {
                call.target.as_deref().map(|target| self.check(target)).transpose()?;
                let of_args = call.args.iter().map(|argument| self.check(argument)).collect::<Result<Vec<_>, _>>()?;
                known_function(&call.func_name)?;
                Ok(match call.func_name.as_str() {
                    operators::INDEX => of_args.first().copied().flatten().and_then(Typing::of_items),
                    _ => None,
                })
            }
            Expr::Comprehension(loops) => {
                let of_range = self.check(&loops.iter_range)?;
                let depth = self.names.len();
                // The items of a list; the keys of a map are texts.
                let of_item = of_range.filter(|it| it.fields.is_empty()).and_then(Typing::of_items);
                self.check(&loops.accu_init)?;
                self.names.push((&loops.iter_var, of_item.filter(|_| of_range.is_some_and(|it| !it.is_closed))));
                self.names.extend(loops.iter_var2.as_deref().map(|name| (name, None)));
                self.names.push((&loops.accu_var, None));
                let body = [&loops.loop_cond, &loops.loop_step, &loops.result];
                let checked = body.into_iter().try_for_each(|part| self.check(part).map(drop));
                self.names.truncate(depth);
                checked.map(|()| None)
            }
            Expr::List(list) => list.elements.iter().try_for_each(|item| self.check(item).map(drop)).map(|()| None),
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        self.check(&entry.key)?;
                        self.check(&entry.value)?;
                    }
                }
                Ok(None)
            }
            Expr::Struct(made) => self.made(made).map(|()| None),
            Expr::Literal(_) | Expr::Unspecified => Ok(None),
        }
    }

    fn made(&mut self, made: &'s StructExpr) -> Result<(), String> {
        let Some(of) = self.types.iter().find(|known| known.names(&made.type_name)) else {
            return Err(undeclared(&made.type_name));
        };
        for entry in &made.entries {
            let EntryExpr::StructField(given) = &entry.expr else { continue };
            if of.fields.is_some_and(|fields| !fields.contains(&given.field.as_str())) {
                return Err(format!("undefined field '{}'", given.field));
            }
            self.check(&given.value)?;
        }
        Ok(())
    }

    fn name(&self, name: &str) -> Result<Option<&'s Typing>, String> {
        let found = self.names.iter().rev().find(|(known, _)| *known == name);
        match found {
            Some((_, typing)) => Ok(*typing),
            None if name == functions::json_patch::ROOM && self.types.is_empty() => Err(undeclared(name)),
            None if functions::type_named(name).is_some() || functions::is_room(name) => Ok(None),
            None => Err(undeclared(name)),
        }
    }
}

fn field<'s>(of: Option<&'s Typing>, name: &str) -> Result<Option<&'s Typing>, String> {
    let Some(of) = of else { return Ok(None) };
    match of.of_field(name) {
        Some(typing) => Ok(Some(typing)),
        // An escaped name is looked up when it is met.
        None if of.is_closed && !name.contains("__") => Err(format!("undefined field '{name}'")),
        None => Ok(None),
    }
}

fn known_function(name: &str) -> Result<(), String> {
    match operators::is_operator(name) || functions::is_known(name) {
        true => Ok(()),
        false => Err(undeclared(name)),
    }
}

fn undeclared(name: &str) -> String {
    format!("undeclared reference to '{name}' (in container '')")
}
