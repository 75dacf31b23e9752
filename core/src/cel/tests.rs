//! Expressions and what they come to.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn evaluate(source: &str, object: &serde_json::Value) -> Result<String, String> {
    let program = Program::compile(source, &[("self", None)]).map_err(|error| error.to_string())?;
    let variables = Variables::default().with("self", Value::of(object));
    let value = program.evaluate(variables, &mut Budget::new(COST_MAX)).map_err(|error| error.to_string())?;
    Ok(functions::text_of(&value).unwrap_or_else(|| format!("a {}", value.type_name())))
}

fn object() -> serde_json::Value {
    json!({
        "name": "web", "replicas": 3, "half": 0.5, "on": true, "none": null,
        "list": [3, 1, 2], "names": ["a", "b"], "map": {"x": 1, "y-z": 2}, "in": 7,
        "items": [{"name": "a", "weight": 1}, {"name": "b", "weight": 2}],
    })
}

#[test]
fn expressions_come_to_what_kubernetes_says() {
    let object = object();
    for (source, expected) in [
        ("self.replicas + 1", "4"),
        ("self.replicas * 2 - 1 == 5 && self.on", "true"),
        ("7 / 2", "3"),
        ("7 % 2", "1"),
        ("-self.replicas", "-3"),
        ("1.5 + 2.0", "3.5"),
        ("self.replicas == 3.0", "true"),
        ("self.name + '!'", "web!"),
        ("self.name > 'a'", "true"),
        ("has(self.name) && !has(self.nothing)", "true"),
        ("self.map['x'] + self.map['y-z']", "3"),
        ("self.map.y__dash__z", "2"),
        ("self.__in__", "7"),
        ("'x' in self.map && !('q' in self.map)", "true"),
        ("2 in self.list", "true"),
        ("size(self.list) + self.name.size()", "6"),
        ("self.list.all(i, i > 0)", "true"),
        ("self.list.exists(i, i == 2)", "true"),
        ("self.list.exists_one(i, i > 2)", "true"),
        ("self.list.map(i, i * 2).sum()", "12"),
        ("self.list.filter(i, i > 1).size()", "2"),
        ("self.items.filter(i, i.weight > 1).map(i, i.name).join(',')", "b"),
        ("self.items.map(i, i.weight > 1, i.name)[0]", "b"),
        ("self.map.all(key, self.map[key] > 0)", "true"),
        ("self.list.exists(i, 6 / (i - 3) == -3)", "true"),
        ("self.on ? 'yes' : 'no'", "yes"),
        ("false && 1 / 0 == 1", "false"),
        ("1 / 0 == 1 || true", "true"),
        ("self.names == ['a', 'b']", "true"),
        ("{'a': 1}.a", "1"),
        ("self.?nothing.orValue(5)", "5"),
        ("self.?name.orValue('x')", "web"),
        ("self.?map.?x.hasValue()", "true"),
        ("self[?'nothing'].hasValue()", "false"),
        ("optional.of(1).value() + optional.none().orValue(2)", "3"),
        ("self.name.startsWith('w') && self.name.endsWith('b') && self.name.contains('e')", "true"),
        ("self.name.matches('^w.b$')", "true"),
        ("'aXbX'.replace('X', '-', 1)", "a-bX"),
        ("'a,b,c'.split(',').size()", "3"),
        ("'a,b,c'.split(',', 2)[1]", "b,c"),
        ("'tacocat'.substring(4, 7)", "cat"),
        ("'tacocat'.indexOf('c') + 'tacocat'.lastIndexOf('c')", "6"),
        ("'Ab'.lowerAscii() + 'Ab'.upperAscii() + ' x '.trim()", "abABx"),
        ("'abc'.reverse() + 'abc'.charAt(1)", "cbab"),
        ("'%s has %d of %.2f%%'.format(['web', 3, 1.5])", "web has 3 of 1.50%"),
        ("'%s'.format([[1, 'a']])", "[1, a]"),
        ("'abc 123'.find('[0-9]+')", "123"),
        ("'a1b2'.findAll('[0-9]').join('')", "12"),
        ("self.list.isSorted() || self.list.min() == 1 && self.list.max() == 3", "true"),
        ("self.list.indexOf(2)", "2"),
        ("sets.contains([1, 2, 3], [2]) && sets.equivalent([1, 2], [2, 1, 1]) && !sets.intersects([1], [2])", "true"),
        ("quantity('1Gi').isGreaterThan(quantity('500M'))", "true"),
        ("quantity('1').add(quantity('500m')).compareTo(quantity('1500m'))", "0"),
        ("isQuantity('1 GB')", "false"),
        ("quantity('50k').asInteger()", "50000"),
        ("url('https://user@h.example:8443/a/b?x=1&x=2').getHostname()", "h.example"),
        ("url('https://[::1]:80/').getPort()", "80"),
        ("url('https://h/?x=1&x=a%20b').getQuery()['x'][1]", "a b"),
        ("isURL('nothing here')", "false"),
        ("ip('10.0.0.1').family() == 4 && ip('::1').isLoopback()", "true"),
        ("cidr('10.0.0.0/8').containsIP('10.1.2.3') && !cidr('10.0.0.0/8').containsIP(ip('11.0.0.1'))", "true"),
        ("cidr('10.1.2.3/16').masked()", "10.1.0.0/16"),
        ("cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')", "true"),
        ("isIP('10.0.0.256') || isCIDR('10.0.0.0/40')", "false"),
        ("duration('90m') > duration('1h') && duration('1h').getMinutes() == 60", "true"),
        ("timestamp('2020-01-31T03:04:05Z').getMonth()", "0"),
        ("timestamp('2020-01-01T00:00:00Z') + duration('24h') == timestamp('2020-01-02T00:00:00Z')", "true"),
        ("int('12') + int(3.9)", "15"),
        ("string(1.5) + string(true)", "1.5true"),
        ("type(1) == int && type('') == string", "true"),
        ("base64.encode(b'hi') + string(base64.decode('aGk='))", "aGk=hi"),
        ("dyn(1) == 1u", "true"),
        ("self.none == null", "true"),
        ("[1, 2] + [3] == [1, 2, 3]", "true"),
    ] {
        assert_eq!(evaluate(source, &object), Ok(expected.to_owned()), "{source}");
    }
}

#[test]
fn what_does_not_work_out_says_why() {
    let object = object();
    for (source, expected) in [
        ("self.nothing", "no such key: nothing"),
        ("self.list[9]", "index out of bounds: 9"),
        ("1 / 0", "division by zero"),
        ("9223372036854775807 + 1", "integer overflow"),
        ("self.name + 1", "no such overload"),
        ("'x' && true", "no such overload"),
        ("self.list.all(i, i / 0 > 1)", "division by zero"),
        ("other.field", "undeclared reference to 'other' (in container '')"),
        ("self.list.all(i, j > 0)", "undeclared reference to 'j' (in container '')"),
        ("unheard(1)", "undeclared reference to 'unheard' (in container '')"),
        ("quantity('x')", "quantities must match the regular expression"),
        ("optional.none().value()", "optional.none() dereference"),
        ("'a'.matches('[')", "illegal regex"),
    ] {
        let error = evaluate(source, &object).unwrap_err();
        assert!(error.contains(expected), "{source}: {error}");
    }
}

#[test]
fn a_field_the_schema_does_not_have_is_found_when_the_expression_is_compiled() {
    let spec = Typing { is_closed: true, fields: [("size".to_owned(), Typing::default())].into(), ..Typing::default() };
    let list = Typing { inner: Some(Box::new(Typing { is_closed: true, ..Typing::default() })), ..Typing::default() };
    let typing = Typing {
        is_closed: true,
        fields: [("spec".to_owned(), spec), ("list".to_owned(), list)].into(),
        ..Typing::default()
    };
    let compile =
        |source| Program::compile(source, &[("self", Some(&typing))]).map(drop).map_err(|error| error.to_string());
    assert_eq!(compile("self.spec.size > 1"), Ok(()));
    assert_eq!(compile("self.spec.sise > 1"), Err("undefined field 'sise'".to_owned()));
    assert_eq!(compile("self.list.all(i, i.x > 1)"), Err("undefined field 'x'".to_owned()));
    assert_eq!(compile("has(self.other)"), Err("undefined field 'other'".to_owned()));
}

#[test]
fn an_expression_that_would_not_end_is_stopped() {
    let numbers: Vec<i64> = (0..1000).collect();
    let object = json!({"list": numbers, "text": "x".repeat(10_000)});
    for source in [
        "self.list.all(a, self.list.all(b, self.list.all(c, a + b + c >= 0)))",
        "self.list.map(a, self.list.map(b, self.list.map(c, c))).size() > 0",
        "self.list.map(a, self.text + self.text).size() > 0",
        "self.list.map(a, self.text.matches('(x+x+)+y')).size() > 0",
        "self.list.all(a, self.list == self.list)",
    ] {
        let error = evaluate(source, &object).unwrap_err();
        assert_eq!(error, "the expression costs more than it may: it is stopped", "{source}");
    }
}

proptest! {
    #[test]
    fn no_text_brings_the_compiler_down(source in "[a-z0-9.()\\[\\]{}?:'\" +*/%!=<>&|,-]{0,60}") {
        if let Ok(program) = Program::compile(&source, &[("a", None), ("b", None)]) {
            let (left, right) = (json!({"a": [1, "x"]}), json!(3));
            let variables = Variables::default().with("a", Value::of(&left)).with("b", Value::of(&right));
            let mut budget = Budget::new(10_000);
            let _ = program.evaluate(variables, &mut budget);
        }
    }
}
