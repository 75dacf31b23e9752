//! What several workload operators share: pods from templates, hashes, ranking.
