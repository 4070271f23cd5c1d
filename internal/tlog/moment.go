package tlog

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// IndexAt finds where in a log of the given size a moment lies: an index below which the leaves are older, as far as
// their times can be trusted. It asks for a page a halving.
//
// The times of leaves are claims, and no log promises that they only grow. So it is the middle one of a page's times that
// counts, which a stray one does not move, and the answer is a page before the first whose middle is at or after the moment.
// Callers choose a moment that leaves a margin. Where all are older it is the size.
func IndexAt(ctx context.Context, source Source, size uint64, moment time.Time, timeOf func(leaf []byte) (time.Time, bool)) (uint64, error) {
	page := max(source.PageSize(), 1)
	low, high := uint64(0), (size+page-1)/page // pages: all before low are older, high and after are not
	for low < high {
		middle := low + (high-low)/2
		at, from, err := middleTime(ctx, source, middle, high, size, timeOf)
		switch {
		case err != nil:
			return 0, fmt.Errorf("looking for the first entry since %s: %w", moment.UTC().Format(time.RFC3339), err)
		case at.IsZero(): // none of the pages from middle to high tells a time
			high = middle
		case at.Before(moment):
			low = from + 1
		default:
			high = middle
		}
	}
	if low*page >= size {
		return size, nil
	}
	return (low - min(low, 1)) * page, nil
}

// maxTimeless is how many pages may be without a time in a row.
const maxTimeless = 16

// middleTime is the middle one of the times in a page, or in the first one after it, before a page end, that tells any,
// which is returned too.
func middleTime(ctx context.Context, source Source, page, end, size uint64, timeOf func(leaf []byte) (time.Time, bool)) (time.Time, uint64, error) {
	// No more than that many leaves of a page are decoded.
	const sample = 32
	first, leaves := page, max(source.PageSize(), 1)
	for ; page < end; page++ {
		if page-first == maxTimeless {
			return time.Time{}, 0, fmt.Errorf("none of the entries %d to %d tells its time", first*leaves, page*leaves-1)
		}
		from := page * leaves
		p, err := source.Page(ctx, from, min(from+sample, size))
		if err != nil {
			return time.Time{}, 0, err
		}
		var times []time.Time
		for _, leaf := range p.Leaves {
			if at, ok := timeOf(leaf); ok {
				times = append(times, at)
			}
		}
		if len(times) > 0 {
			slices.SortFunc(times, time.Time.Compare)
			return times[len(times)/2], page, nil
		}
	}
	return time.Time{}, 0, nil
}
