//! The order of entries in an attribute block.
//!
//! The reference sorts them with a comparison that is no order ("less" can hold both ways), so the result depends on the
//! algorithm: insertion sort up to twelve entries, pattern-defeating quicksort beyond, as in Go's `sort` package.

/// A slice being sorted by a comparison that may be inconsistent.
struct Sorting<'a, T> {
    items: &'a mut [T],
    less: fn(&T, &T) -> bool,
}

#[derive(Eq, PartialEq)]
enum Hint {
    Increasing,
    Decreasing,
    Unknown,
}

pub(super) fn sort<T>(items: &mut [T], less: fn(&T, &T) -> bool) {
    let end = items.len();
    let depth = usize::BITS - end.leading_zeros();
    Sorting { items, less }.quick(0, end, depth);
}

impl<T> Sorting<'_, T> {
    fn less(&self, a: usize, b: usize) -> bool {
        match (self.items.get(a), self.items.get(b)) {
            (Some(a), Some(b)) => (self.less)(a, b),
            _ => false,
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        if a.max(b) < self.items.len() {
            self.items.swap(a, b);
        }
    }

    fn quick(&mut self, mut start: usize, mut end: usize, mut bad_pivots: u32) {
        let (mut balanced, mut partitioned) = (true, true);
        loop {
            let length = end - start;
            if length <= 12 {
                return self.insertion(start, end);
            }
            if bad_pivots == 0 {
                return self.heap(start, end);
            }
            if !balanced {
                self.shuffle(start, length);
                bad_pivots -= 1;
            }
            let (mut pivot, mut hint) = self.pivot(start, length);
            if hint == Hint::Decreasing {
                if let Some(range) = self.items.get_mut(start..end) {
                    range.reverse();
                }
                pivot = (end - 1) - (pivot - start);
                hint = Hint::Increasing;
            }
            if balanced && partitioned && hint == Hint::Increasing && self.nearly_sorted(start, end)
            {
                return;
            }
            if start > 0 && !self.less(start - 1, pivot) {
                start = self.partition_equal(start, end, pivot);
                continue;
            }
            let (middle, already) = self.partition(start, end, pivot);
            partitioned = already;
            let (left, right) = (middle - start, end - middle);
            balanced = left.min(right) >= length / 8;
            if left < right {
                self.quick(start, middle, bad_pivots);
                start = middle + 1;
            } else {
                self.quick(middle + 1, end, bad_pivots);
                end = middle;
            }
        }
    }

    fn insertion(&mut self, start: usize, end: usize) {
        for i in start + 1..end {
            let mut j = i;
            while j > start && self.less(j, j - 1) {
                self.swap(j, j - 1);
                j -= 1;
            }
        }
    }

    fn heap(&mut self, start: usize, end: usize) {
        let length = end - start;
        for root in (0..=(length - 1) / 2).rev() {
            self.sift_down(root, length, start);
        }
        for last in (0..length).rev() {
            self.swap(start, start + last);
            self.sift_down(0, last, start);
        }
    }

    fn sift_down(&mut self, mut root: usize, end: usize, start: usize) {
        loop {
            let mut child = 2 * root + 1;
            if child >= end {
                return;
            }
            if child + 1 < end && self.less(start + child, start + child + 1) {
                child += 1;
            }
            if !self.less(start + root, start + child) {
                return;
            }
            self.swap(start + root, start + child);
            root = child;
        }
    }

    /// Moves three elements about, so that a bad pattern does not repeat; the numbers are fixed by the length.
    fn shuffle(&mut self, start: usize, length: usize) {
        let mut random = length as u64;
        let mask = (1_u64 << (u64::BITS - random.leading_zeros())) - 1;
        let first = start + length / 4 * 2 - 2;
        for at in first..first + 3 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let other = usize::try_from(random & mask).unwrap_or_default();
            self.swap(
                at,
                start
                    + if other >= length {
                        other - length
                    } else {
                        other
                    },
            );
        }
    }

    fn pivot(&self, start: usize, length: usize) -> (usize, Hint) {
        let mut swaps = 0;
        let [i, j, k] = [1, 2, 3].map(|quarter| {
            let at = start + length / 4 * quarter;
            if length >= 50 {
                self.median([at - 1, at, at + 1], &mut swaps)
            } else {
                at
            }
        });
        let pivot = self.median([i, j, k], &mut swaps);
        let hint = match swaps {
            0 => Hint::Increasing,
            12 => Hint::Decreasing,
            _ => Hint::Unknown,
        };
        (pivot, hint)
    }

    fn median(&self, [mut a, mut b, mut c]: [usize; 3], swaps: &mut u32) -> usize {
        let mut order = |a: &mut usize, b: &mut usize| {
            if self.less(*b, *a) {
                *swaps += 1;
                std::mem::swap(a, b);
            }
        };
        order(&mut a, &mut b);
        order(&mut b, &mut c);
        order(&mut a, &mut b);
        b
    }

    /// Elements less than the pivot, the pivot, the rest; the pivot's place, and whether nothing was swapped.
    fn partition(&mut self, start: usize, end: usize, pivot: usize) -> (usize, bool) {
        self.swap(start, pivot);
        let (mut i, mut j) = (start + 1, end - 1);
        let mut swapped = false;
        loop {
            while i <= j && self.less(i, start) {
                i += 1;
            }
            while i <= j && !self.less(j, start) {
                j -= 1;
            }
            if i > j {
                break;
            }
            self.swap(i, j);
            swapped = true;
            i += 1;
            j -= 1;
        }
        self.swap(j, start);
        (j, !swapped)
    }

    /// Elements equal to the pivot, then greater ones; where those begin.
    fn partition_equal(&mut self, start: usize, end: usize, pivot: usize) -> usize {
        self.swap(start, pivot);
        let (mut i, mut j) = (start + 1, end - 1);
        loop {
            while i <= j && !self.less(start, i) {
                i += 1;
            }
            while i <= j && self.less(start, j) {
                j -= 1;
            }
            if i > j {
                return i;
            }
            self.swap(i, j);
            i += 1;
            j -= 1;
        }
    }

    /// Whether the range is sorted, after at most five corrections (none in a short range).
    fn nearly_sorted(&mut self, start: usize, end: usize) -> bool {
        let mut i = start + 1;
        for _ in 0..5 {
            while i < end && !self.less(i, i - 1) {
                i += 1;
            }
            if i == end {
                return true;
            }
            if end - start < 50 {
                return false;
            }
            self.swap(i, i - 1);
            if i - start >= 2 {
                for j in (1..i).rev() {
                    if !self.less(j, j - 1) {
                        break;
                    }
                    self.swap(j, j - 1);
                }
            }
            if end - i >= 2 {
                for j in i + 1..end {
                    if !self.less(j, j - 1) {
                        break;
                    }
                    self.swap(j, j - 1);
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::sort;

    #[test]
    fn a_proper_order_is_sorted_whatever_the_input() {
        for length in 0..300_u64 {
            for seed in 1..8_u64 {
                let value = |i: u64| match seed {
                    1 => i,
                    2 => length - i,
                    3 => i % 5,
                    _ => (i + seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40,
                };
                let mut items: Vec<u64> = (0..length).map(value).collect();
                let mut expected = items.clone();
                expected.sort_unstable();
                sort(&mut items, |a, b| a < b);
                assert_eq!(items, expected, "length {length}, seed {seed}");
            }
        }
    }
}
