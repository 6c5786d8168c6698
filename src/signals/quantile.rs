//! A quantile of a classic histogram, as Prometheus' `histogram_quantile` computes it
//! (`promql/quantile.go`, `BucketQuantile`): linear within a bucket, the lowest one from zero, and
//! for what lies in the bucket up to infinity the bound below it.

use crate::signals::missing::Missing;

/// The upper bound and the number of observations up to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bucket {
    pub(super) bound: f64,
    pub(super) count: f64,
}

/// Adds the buckets of another histogram to those of one; both are sorted by bound.
pub(super) fn merge(into: &mut Vec<Bucket>, more: impl Iterator<Item = Bucket>) {
    let mut from = 0;
    for bucket in more {
        let rest = into.get(from..).unwrap_or_default();
        from += rest.partition_point(|other| other.bound < bucket.bound);
        match into.get_mut(from) {
            Some(same) if same.bound.total_cmp(&bucket.bound).is_eq() => same.count += bucket.count,
            _ => into.insert(from, bucket),
        }
    }
}

/// The quantile, from 0 to 1, of buckets that are sorted by bound, each bound once.
pub(super) fn quantile(quantile: f64, buckets: &mut [Bucket]) -> Result<f64, Missing> {
    let [.., highest] = buckets else {
        return Err(Missing::BucketInfinity);
    };
    if highest.bound < f64::INFINITY {
        return Err(Missing::BucketInfinity);
    }
    // Counters are read one after the other, and rates round: a bucket is never less than the one
    // below it.
    let mut least = 0.0_f64;
    for bucket in &mut *buckets {
        least = least.max(bucket.count);
        bucket.count = least;
    }
    let [finite @ .., all] = &*buckets else {
        return Err(Missing::BucketInfinity);
    };
    let Some(last) = finite.last() else {
        return Err(Missing::BucketsFinite);
    };
    if all.count <= 0.0 {
        return Err(Missing::NoRequests);
    }
    let rank = quantile * all.count;
    let index = finite.partition_point(|bucket| bucket.count < rank);
    let Some(bucket) = finite.get(index) else {
        return Ok(last.bound);
    };
    let below = index.checked_sub(1).and_then(|index| finite.get(index));
    let (start, before) = match below {
        Some(below) => (below.bound, below.count),
        None if bucket.bound <= 0.0 => return Ok(bucket.bound),
        None => (0.0, 0.0),
    };
    let within = bucket.count - before;
    if within <= 0.0 {
        // Only for the quantile 0 of a histogram whose lowest bucket is empty, where Prometheus
        // divides zero by zero.
        return Ok(start);
    }
    Ok(start + (bucket.bound - start) * ((rank - before) / within))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Case<'a> = (f64, &'a [(f64, f64)], Result<f64, Missing>);

    fn buckets(counts: &[(f64, f64)]) -> Vec<Bucket> {
        counts.iter().map(|(bound, count)| Bucket { bound: *bound, count: *count }).collect()
    }

    #[test]
    fn quantiles_are_those_of_prometheus() {
        const INF: f64 = f64::INFINITY;
        // Computed by Prometheus' rule on the example of its documentation on histograms.
        let usual = [(0.1, 50.0), (0.2, 90.0), (0.5, 100.0), (INF, 100.0)];
        let cases: [Case<'_>; 11] = [
            (0.5, &usual, Ok(0.1)),
            (0.25, &usual, Ok(0.05)),
            (0.9, &usual, Ok(0.2)),
            (0.95, &usual, Ok(0.35)),
            (1.0, &usual, Ok(0.5)),
            (0.9, &[(0.1, 0.0), (INF, 10.0)], Ok(0.1)),
            (0.5, &[(-1.0, 10.0), (INF, 10.0)], Ok(-1.0)),
            (0.5, &[(0.1, 0.0), (INF, 0.0)], Err(Missing::NoRequests)),
            (0.5, &[(INF, 3.0)], Err(Missing::BucketsFinite)),
            (0.5, &[(0.1, 3.0)], Err(Missing::BucketInfinity)),
            (0.5, &[], Err(Missing::BucketInfinity)),
        ];
        for (part, counts, expected) in cases {
            let found = quantile(part, &mut buckets(counts)).map(|it| (it * 1e9).round() / 1e9);
            assert_eq!(found, expected, "{part} of {counts:?}");
        }
    }

    #[test]
    fn a_bucket_below_its_neighbour_is_raised_to_it() {
        let torn = [(0.1, 50.0), (0.2, 49.999), (f64::INFINITY, 100.0)];
        assert_eq!(quantile(0.75, &mut buckets(&torn)), Ok(0.2));
    }

    #[test]
    fn histograms_with_other_buckets_merge_by_bound() {
        let mut merged = buckets(&[(0.1, 1.0), (f64::INFINITY, 2.0)]);
        merge(&mut merged, buckets(&[(0.1, 3.0), (0.5, 4.0), (f64::INFINITY, 5.0)]).into_iter());
        merge(&mut merged, buckets(&[(0.05, 1.0)]).into_iter());
        let expected = [(0.05, 1.0), (0.1, 4.0), (0.5, 4.0), (f64::INFINITY, 7.0)];
        assert_eq!(merged, buckets(&expected));
    }
}
