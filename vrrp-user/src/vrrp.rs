pub mod time {
    use core::ops::Add;
    use core::time::Duration;
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
    pub struct Instant(u64);
    impl Instant {
        pub const fn from_nanos(n: u64) -> Self {
            Self(n)
        }
        pub const fn as_nanos(self) -> u64 {
            self.0
        }
        pub fn saturating_since(self, o: Self) -> Duration {
            Duration::from_nanos(self.0.saturating_sub(o.0))
        }
    }
    impl Add<Duration> for Instant {
        type Output = Self;
        fn add(self, d: Duration) -> Self {
            Self(self.0 + d.as_nanos() as u64)
        }
    }
}
