//! Blind changes to inputs: bits, bytes, runs and splices. Refuses to know what an input means.

/// Values at which parsers break.
const EDGES: [u8; 12] = [0, 1, 2, 3, 0x7f, 0x80, 0xfe, 0xff, b'"', b':', b'-', b' '];
const LONGEST: usize = 4096;

pub(crate) struct Changes {
    state: u64,
    bytes: Vec<u8>,
}

impl Changes {
    pub(crate) fn new(seed: u128) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "the low half of a clock has the chance in it")]
        Self { state: seed as u64, bytes: Vec::new() }
    }

    /// One of the inputs with one to eight changes.
    pub(crate) fn apply(&mut self, inputs: &[Vec<u8>]) -> &[u8] {
        let base = &inputs[self.below(inputs.len())];
        self.bytes.clear();
        self.bytes.extend_from_slice(base);
        for _ in 0..=self.below(8) {
            self.change(inputs);
        }
        self.bytes.truncate(LONGEST);
        &self.bytes
    }

    fn change(&mut self, inputs: &[Vec<u8>]) {
        let at = self.below(self.bytes.len() + 1);
        if at == self.bytes.len() {
            let byte = self.byte();
            return self.bytes.push(byte);
        }
        match self.below(7) {
            0 => self.bytes[at] ^= 1 << self.below(8),
            1 => self.bytes[at] = self.byte(),
            2 => self.bytes[at] = EDGES[self.below(EDGES.len())],
            3 => {
                let byte = EDGES[self.below(EDGES.len())];
                self.bytes.insert(at, byte);
            }
            4 => {
                let end = (at + 1 + self.below(8)).min(self.bytes.len());
                self.bytes.drain(at..end);
            }
            5 => {
                let end = (at + 1 + self.below(32)).min(self.bytes.len());
                let run = self.bytes[at..end].to_vec();
                self.bytes.splice(at..at, run);
            }
            _ => {
                let other = &inputs[self.below(inputs.len())];
                let from = self.below(other.len() + 1);
                self.bytes.truncate(at);
                self.bytes.extend_from_slice(&other[from..]);
            }
        }
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// 0 if there is nothing to choose from.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end.max(1) as u64)).unwrap()
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
