//! What a test leaves open: everything there and always the same, or as a seed has it.

/// Decides.
pub(crate) struct Dice {
    /// `None` says that everything is there.
    state: Option<u64>,
}

impl Dice {
    /// Everything that can be there is there.
    pub(crate) fn full() -> Self {
        Self { state: None }
    }

    /// Another message for every seed.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self { state: Some(seed) }
    }

    /// Any 64 bits (SplitMix64).
    pub(crate) fn bits(&mut self) -> u64 {
        let Some(state) = &mut self.state else { return 0x0123_4567_89ab_cdef };
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn flip(&mut self) -> bool {
        self.state.is_none() || self.bits().is_multiple_of(2)
    }

    /// Something, or nothing.
    pub(crate) fn some<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.flip().then(|| make(self))
    }

    /// A count: small, large, or the largest that the wire holds.
    pub(crate) fn count(&mut self) -> u64 {
        match self.bits() % 8 {
            0 => i64::MAX as u64,
            1..4 => self.bits() % 10,
            _ => self.bits() % 1_000_000,
        }
    }

    pub(crate) fn one_of<T: Clone>(&mut self, from: &[T]) -> T {
        let index = self.bits() % from.len() as u64;
        from[usize::try_from(index).unwrap()].clone()
    }

    /// A text, not empty, with what makes trouble in JSON.
    pub(crate) fn text(&mut self) -> String {
        let parts =
            ["a", " ", "\"", "\\", "\u{0}", "\n", "é", "日本", "\u{1f980}", "</script>", "\u{2028}", "{}"];
        let length = self.bits() % 8 + 1;
        (0..length).map(|_| self.one_of(&parts)).collect()
    }
}
