package rekor

import (
	"context"
	"fmt"
)

// V1Hit is what became of one id that the search index named.
type V1Hit struct {
	ID V1ID
	// Entry is proven. It is nil where there is an Err: the log does not have it, or it fails a check.
	Entry *V1Entry
	Match V1Match
	Err   error
}

// V1Discovery is what one search brought.
type V1Discovery struct {
	// Hits are in the order of their ids, those that are not what was asked for included: they are for whoever looks after
	// the index.
	Hits []V1Hit
	// Known counts the ids that were known already, and were not fetched.
	Known int
	// Truncated says that the index named more than are taken.
	Truncated bool
}

// Discover searches the index, and fetches, proves and re-checks every hit that is not known. known may be nil.
//
// However little it finds, that is no statement of what the log has. An error means that it could not be found out, in
// full; what was found until then is in the discovery.
func (l *V1Log) Discover(ctx context.Context, q V1Query, known func(V1ID) bool) (V1Discovery, error) {
	var d V1Discovery
	ids, truncated, err := l.Search(ctx, q)
	if err != nil {
		return d, err
	}
	d.Truncated = truncated
	var unknown []V1ID
	for _, id := range ids {
		if known != nil && known(id) {
			d.Known++
			continue
		}
		unknown = append(unknown, id)
	}
	answers, err := l.Entries(ctx, unknown)
	for _, a := range answers {
		hit := V1Hit{ID: a.ID, Entry: a.Entry, Err: a.Err}
		if a.Entry != nil {
			hit.Match = q.Match(a.Entry)
		}
		d.Hits = append(d.Hits, hit)
	}
	if err != nil {
		return d, fmt.Errorf("looking at the hits for %s: %w", q, err)
	}
	return d, nil
}
