//! Evidence with one byte changed, taken out or put in, anywhere: it is refused, and no input makes the verifier panic.

use std::sync::LazyLock;

use proptest::prelude::{
    Just, ProptestConfig, Strategy, any, prop_assert, prop_assume, prop_oneof, proptest,
};
use proptest::sample::Index;
use snp::EndorsementChain;

use crate::forge::certificate::pem;
use crate::forge::{Evidence, World};

static GOOD: LazyLock<(World, Evidence)> = LazyLock::new(|| {
    let mut world = World::with_crl();
    // All that is left is signed: the tag and the open header are not.
    world.uvm().tagged = false;
    world.uvm().unprotected.clear();
    let evidence = world.evidence();
    assert!(evidence.verify(&world.roots, &world.uvm_roots).accepted());
    (world, evidence)
});

#[derive(Clone, Copy, Debug)]
enum Part {
    Report,
    /// Leaf, intermediate or root.
    Certificate(usize),
    Endorsement,
    RevocationList,
}

#[derive(Clone, Copy, Debug)]
enum Edit {
    Set(u8),
    Flip(u8),
    Remove,
    Insert(u8),
}

impl Edit {
    fn apply(self, bytes: &mut Vec<u8>, at: Index) {
        let at = at.index(bytes.len());
        match self {
            Self::Set(byte) => bytes[at] = byte,
            Self::Flip(bit) => bytes[at] ^= 1 << bit,
            Self::Insert(byte) => bytes.insert(at, byte),
            Self::Remove => {
                bytes.remove(at);
            }
        }
    }
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![
        Just(Part::Report),
        (0..3_usize).prop_map(Part::Certificate),
        Just(Part::Endorsement),
        Just(Part::RevocationList),
    ]
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        any::<u8>().prop_map(Edit::Set),
        (0..8_u8).prop_map(Edit::Flip),
        Just(Edit::Remove),
        any::<u8>().prop_map(Edit::Insert),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn changed_evidence_is_refused(part in part(), edit in edit(), at in any::<Index>()) {
        let (world, good) = &*GOOD;
        let mut changed = good.clone();
        match part {
            Part::Report => edit.apply(&mut changed.report, at),
            Part::Endorsement => edit.apply(changed.uvm_endorsement.as_mut().unwrap(), at),
            Part::RevocationList => edit.apply(&mut changed.requirements.crls[0], at),
            Part::Certificate(which) => {
                let chain = EndorsementChain::from_pem(&good.chain_pem).unwrap();
                let mut ders = chain.ders().map(<[u8]>::to_vec);
                edit.apply(&mut ders[which], at);
                changed.chain_pem = ders.each_ref().map(|der| pem(der)).concat();
            }
        }
        prop_assume!(changed.report != good.report
            || changed.chain_pem != good.chain_pem
            || changed.uvm_endorsement != good.uvm_endorsement
            || changed.requirements.crls != good.requirements.crls);
        let verification = changed.verify(&world.roots, &world.uvm_roots);
        prop_assert!(!verification.accepted());
    }
}
