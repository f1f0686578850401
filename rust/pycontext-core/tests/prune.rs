//! The kernel on small sets; the properties over many are in the Python suite.

use std::sync::{Arc, OnceLock};

use pycontext_core::Broken;
use pycontext_core::columns::Columns;
use pycontext_core::cost::Render;
use pycontext_core::count::{Counter, Encoding};
use pycontext_core::error::Error;
use pycontext_core::kind::{Kind, Kinds};
use pycontext_core::policy::{Order, Policy, References, Tier};
use pycontext_core::provider::Provider;
use pycontext_core::prune::{Request, prune};
use pycontext_core::row::{Rare, Row};
use pycontext_core::selection::{Pin, Reason, Receipt, Selection};
use pycontext_core::texts::Texts;

fn add(columns: &mut Columns<String>, id: &str, kind: Kind, score: f64, content: &str) {
    push(columns, id, kind, score, content, None);
}

fn add_rare(
    columns: &mut Columns<String>,
    id: &str,
    kind: Kind,
    score: f64,
    content: &str,
    rare: Rare<String>,
) {
    push(columns, id, kind, score, content, Some(Box::new(rare)));
}

fn push(
    columns: &mut Columns<String>,
    id: &str,
    kind: Kind,
    score: f64,
    content: &str,
    rare: Option<Box<Rare<String>>>,
) {
    let row = Row {
        id: id.to_owned(),
        content: content.to_owned(),
        kind,
        score,
        timestamp: 0,
        tokens: Encoding::O200k.count(content),
        metadata: Texts::default(),
        rare,
        extra: None,
    };
    assert_eq!(columns.push(row), Ok(()));
}

fn answer_to(call: &str) -> Rare<String> {
    Rare {
        references: vec![call.to_owned()].into(),
        unit: None,
        provider: Provider::read([("openai.tool_call_id", "\"c\"")].into_iter())
            .map(|provider| OnceLock::from(Box::new(provider))),
    }
}

fn calls(n: usize) -> Rare<String> {
    let one = r#"{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}"#;
    let json = format!("[{}]", vec![one; n].join(","));
    Rare {
        references: Texts::default(),
        unit: None,
        provider: Provider::read([("openai.tool_calls", json.as_str())].into_iter())
            .map(|provider| OnceLock::from(Box::new(provider))),
    }
}

fn run(
    columns: &mut Columns<String>,
    available: u64,
    policy: Policy,
    pins: &[usize],
) -> Result<Selection, Error> {
    columns.fill_costs(Render::OpenAi, &Encoding::O200k);
    let request = Request {
        available,
        fixed: Render::OpenAi.fixed(),
        policy: &Arc::new(policy),
        pins,
        question: None,
        now: None,
        near: None,
        before: None,
    };
    prune(columns, columns.costs(Render::OpenAi), &request)
}

#[test]
fn the_best_stay_and_what_fits_goes_back() {
    let mut columns = Columns::default();
    add(&mut columns, "sys", Kind::System, 0.0, "rules");
    add(&mut columns, "low", Kind::Memory, 0.1, "short");
    add(&mut columns, "big", Kind::Memory, 0.5, &"word ".repeat(1000));
    add(&mut columns, "best", Kind::Memory, 0.9, "best");
    add(&mut columns, "ask", Kind::User, 0.0, "question");
    let selection = run(&mut columns, 31, Policy::default(), &[]).expect("it fits");
    assert_eq!(selection.kept, [0, 1, 3, 4]);
    assert_eq!(selection.reasons[0], Reason::Pinned(Pin::System));
    assert_eq!(selection.reasons[4], Reason::Pinned(Pin::LastUser));
    assert!(matches!(selection.reasons[2], Reason::Budget(_)));
    let costs = columns.costs(Render::OpenAi).rows;
    let receipt = Receipt::new(&selection, &columns, costs);
    let sentence = receipt.explain("big").expect("a known id");
    assert!(sentence.contains("of 31 tokens are left"), "{sentence}");
}

#[test]
fn a_call_and_its_results_share_their_fate() {
    for available in 1..400 {
        let mut columns = Columns::default();
        add(&mut columns, "u0", Kind::User, 0.5, "start");
        add_rare(&mut columns, "call", Kind::Agent, 0.5, "", calls(4));
        for i in 0..4 {
            let id = format!("r{i}");
            let text = "result ".repeat(20);
            add_rare(&mut columns, &id, Kind::Tool, 0.5, &text, answer_to("call"));
        }
        add(&mut columns, "u1", Kind::User, 0.5, "next");
        match run(&mut columns, available, Policy::default(), &[]) {
            Ok(selection) => {
                let kept: Vec<_> = (1..6).map(|row| selection.reasons[row].is_kept()).collect();
                assert!(kept.iter().all(|k| *k == kept[0]), "{available}: {kept:?}");
                assert!(selection.tokens <= available);
            }
            Err(error) => assert!(available < 10, "{error}"),
        }
    }
}

#[test]
fn broken_exchanges_are_left_out_and_pending_ones_stay() {
    let mut columns = Columns::default();
    add_rare(&mut columns, "lost", Kind::Tool, 1.0, "x", answer_to("gone"));
    add_rare(&mut columns, "half", Kind::Agent, 1.0, "", calls(2));
    add_rare(&mut columns, "one", Kind::Tool, 1.0, "x", answer_to("half"));
    add(&mut columns, "ask", Kind::User, 1.0, "next");
    add_rare(&mut columns, "open", Kind::Agent, 0.0, "", calls(2));
    add_rare(&mut columns, "first", Kind::Tool, 0.0, "x", answer_to("open"));
    let selection = run(&mut columns, 1000, Policy::default(), &[]).expect("it fits");
    assert_eq!(
        selection.reasons,
        [
            Reason::Orphan(Broken::NoCall),
            Reason::Orphan(Broken::NoResult(2, 1)),
            Reason::Unit(1),
            Reason::Pinned(Pin::LastUser),
            Reason::Pinned(Pin::LastUnit),
            Reason::Pinned(Pin::LastUnit),
        ]
    );
}

#[test]
fn pins_that_cannot_fit_are_named() {
    let mut columns = Columns::default();
    add(&mut columns, "sys", Kind::System, 1.0, &"rule ".repeat(3400));
    add(&mut columns, "ask", Kind::User, 1.0, "hi");
    let Err(Error::Budget { needed, available, blockers, .. }) =
        run(&mut columns, 500, Policy::default(), &[])
    else {
        panic!("3,400 tokens do not fit into 500");
    };
    assert!(needed > 3400 && available == 500);
    assert_eq!(blockers, ["sys"]);
}

#[test]
fn of_equal_texts_the_best_stays() {
    let mut columns = Columns::default();
    for (id, kind, score) in [
        ("old", Kind::Memory, 0.2),
        ("best", Kind::Memory, 0.9),
        ("passage", Kind::Knowledge, 0.1),
        ("late", Kind::Memory, 0.3),
        ("yes", Kind::User, 0.5),
        ("yes again", Kind::User, 0.5),
    ] {
        add(&mut columns, id, kind, score, "the same");
    }
    let selection = run(&mut columns, 1000, Policy::default(), &[]).expect("it fits");
    assert_eq!(selection.kept, [1, 2, 4, 5]);
    assert_eq!(selection.reasons[3], Reason::Duplicate(1));
    let selection = run(&mut columns, 1000, Policy::default(), &[0]).expect("it fits");
    assert_eq!(selection.kept, [0, 2, 4, 5], "the pinned copy is the best");
}

#[test]
fn the_threshold_asks_for_the_base_score_and_spares_pins() {
    let mut columns = Columns::default();
    add(&mut columns, "sys", Kind::System, 0.0, "rules");
    add(&mut columns, "low", Kind::Memory, 0.1, "x");
    add(&mut columns, "ok", Kind::Memory, 0.2, "y");
    let policy = Policy { threshold: 0.2, ..Policy::default() };
    let selection = run(&mut columns, 1000, policy, &[]).expect("it fits");
    assert_eq!(selection.kept, [0, 2]);
    assert_eq!(selection.reasons[1], Reason::BelowThreshold);
}

#[test]
fn tiers_take_their_shares_one_after_the_other() {
    let mut columns = Columns::default();
    for (i, score) in [0.0, 0.1, 0.2, 0.3].into_iter().enumerate() {
        add(&mut columns, &format!("t{i}"), Kind::Agent, 0.9, "word word");
        add(&mut columns, &format!("m{i}"), Kind::Memory, score, ["a", "b", "c", "d"][i]);
    }
    add(&mut columns, "ask", Kind::User, 0.5, "hi");
    let tier =
        |name: &str, kinds, order, share| Tier { name: name.to_owned(), kinds, order, share };
    let talk = Kinds::of([Kind::User, Kind::Agent]);
    let tiers = vec![
        tier("talk", talk, Order::Time, 0.5),
        tier("rest", Kinds::of([Kind::Memory]), Order::Score, 1.0),
    ];
    // A turn is 6 tokens, a fact 9 with its header, and the question and the reply's start 8.
    let policy = Policy { tiers: tiers.clone(), ..Policy::default() };
    let selection = run(&mut columns, 44, policy, &[]).expect("it fits");
    assert_eq!(selection.kept, [4, 5, 6, 7, 8]);
    assert_eq!(selection.tokens, 8 + 2 * 6 + 2 * 9);
    assert_eq!(
        selection.reasons[2],
        Reason::Share(0, 2),
        "24 tokens are left, but not of the share"
    );
    assert_eq!(selection.reasons[3], Reason::Budget(6));
    let policy = Policy { tiers: tiers[..1].to_vec(), ..Policy::default() };
    let selection = run(&mut columns, 44, policy, &[]).expect("it fits");
    assert_eq!(selection.kept, [4, 6, 8], "what no tier takes has no room");
}

#[test]
fn required_blocks_are_tied_or_missed() {
    let mut columns = Columns::default();
    let needs =
        |id: &str| Rare { references: vec![id.to_owned()].into(), unit: None, provider: None };
    add(&mut columns, "fact", Kind::Memory, 0.1, "a fact");
    add_rare(&mut columns, "note", Kind::Knowledge, 0.9, "on the fact", needs("fact"));
    add_rare(&mut columns, "lost", Kind::Memory, 0.9, "on nothing", needs("gone"));
    let policy = Policy { references: References::Require, ..Policy::default() };
    let selection = run(&mut columns, 1000, policy, &[]).expect("it fits");
    assert_eq!(selection.reasons[..2], [Reason::Kept, Reason::Kept]);
    assert_eq!(selection.reasons[2], Reason::Orphan(Broken::NoReference));
    assert_eq!(run(&mut columns, 1000, Policy::default(), &[]).expect("it fits").kept, [0, 1, 2]);
}

#[test]
fn nothing_in_nothing_out() {
    let mut columns = Columns::default();
    let selection = run(&mut columns, 1, Policy::default(), &[]).expect("nothing fits anywhere");
    assert_eq!((selection.tokens, selection.kept.len()), (0, 0));
}

#[test]
fn a_long_chain_of_ties_is_found_in_time() {
    let mut columns = Columns::default();
    let n = 20_000;
    for i in 0..n {
        add(&mut columns, &format!("c{i}"), Kind::Agent, 0.5, "");
    }
    for i in (1..n).rev() {
        let rare = Rare {
            references: vec![format!("c{i}"), format!("c{}", i - 1)].into(),
            unit: None,
            provider: None,
        };
        add_rare(&mut columns, &format!("t{i}"), Kind::Tool, 0.5, "", rare);
    }
    let selection = run(&mut columns, 10, Policy::default(), &[]);
    assert!(selection.is_err(), "one unit of 40,000 blocks is the last and pinned");
}
