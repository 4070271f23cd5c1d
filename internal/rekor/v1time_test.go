package rekor

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestATimeIsFoundInAShard(t *testing.T) {
	w := newV1World(t, 7, 400)
	times := w.trees[1].times
	for i := range times { // bursts, and pauses between them
		times[i] = v1Epoch + int64(i/7)*100
	}
	tree := w.Tree(uint64(w.trees[1].id))
	for _, seconds := range []int64{-5, 0, 1, 99, 100, 2_350, 2_400, 5_699, 5_700, 5_701, 9_999} {
		when := time.Unix(v1Epoch+seconds, 0)
		want := slices.IndexFunc(times, func(at int64) bool { return at >= when.Unix() })
		if want < 0 {
			want = 400
		}
		m, err := tree.FindTime(t.Context(), when, 400)
		if err != nil || m.Index != uint64(want) || m.Backwards != 0 {
			t.Errorf("after %d s: %+v, %v; want %d", seconds, m, err, want)
			continue
		}
		if (m.Before == nil) != (want == 0) || m.Before != nil && m.Before.Index != uint64(want-1) || (m.After == nil) != (want == 400) || m.After != nil && m.After.Index != uint64(want) {
			t.Errorf("after %d s: the neighbours are %+v and %+v", seconds, m.Before, m.After)
		}
		if m.Requests > 4 || m.Probed > 10*m.Requests {
			t.Errorf("after %d s: %d requests, %d entries", seconds, m.Requests, m.Probed)
		}
	}
	if m, err := tree.FindTime(t.Context(), time.Unix(v1Epoch, 0), 0); err != nil || m.Index != 0 || m.Requests != 0 {
		t.Errorf("in an empty tree: %+v, %v", m, err)
	}
	if _, err := tree.FindTime(t.Context(), time.Unix(v1Epoch, 0), 500); err == nil || !strings.Contains(err.Error(), "does not have entry") {
		t.Errorf("beyond what the replica has: %v", err)
	}
}

// publicTimes is a log of three billion entries that grows as the public one does: ever faster, more by day than by night,
// and in the order that its clocks have.
func publicTimes(index uint64) time.Time {
	const entries, years = 3.068e9, 4.0
	share := math.Sqrt(float64(index) / entries) // of the time, since growth is even
	seconds := share * years * 365 * 86400
	seconds += 8_000 * math.Sin(seconds/86400*2*math.Pi) // half of the rate by night
	return time.Unix(v1Epoch+int64(seconds), 0)
}

func searchIn(when time.Time, size uint64, at func(uint64) time.Time) (*timeSearch, error) {
	s := &timeSearch{when: when, high: size, read: func(_ context.Context, indices []uint64) ([]*V1Entry, error) {
		var entries []*V1Entry
		for _, i := range indices {
			entries = append(entries, &V1Entry{Index: i, IntegratedTime: at(i)})
		}
		return entries, nil
	}}
	for s.low < s.high {
		if err := s.probe(context.Background()); err != nil {
			return s, err
		}
	}
	return s, nil
}

func TestATimeIsFoundAmongBillionsInFewRequests(t *testing.T) {
	const size = 3_068_558_843
	r := rand.New(rand.NewPCG(1, 9))
	total := 0
	for range 500 {
		answer := r.Uint64N(size)
		when := publicTimes(answer)
		s, err := searchIn(when, size, publicTimes)
		if err != nil {
			t.Fatal(err)
		}
		if publicTimes(s.low).Before(when) || s.low > 0 && !publicTimes(s.low-1).Before(when) {
			t.Fatalf("%s is at %d, found %d", when, answer, s.low)
		}
		if s.m.Requests > 10 {
			t.Errorf("entry %d took %d requests", answer, s.m.Requests)
		}
		total += s.m.Requests
	}
	t.Logf("%.1f requests on average", float64(total)/500)
	if total > 500*8 {
		t.Errorf("%d requests for 500 times", total)
	}
}

// TestASearchEndsWhateverTheTimesAre has logs that say any time they like.
func TestASearchEndsWhateverTheTimesAre(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 10))
	for range 300 {
		size := 1 + r.Uint64N(1<<50)
		hash := r.Uint64()
		s, err := searchIn(time.Unix(v1Epoch, 0), size, func(i uint64) time.Time {
			return time.Unix(v1Epoch+int64((i^hash)*0x9e3779b97f4a7c15>>33)-1<<30, 0)
		})
		if err != nil || s.low > size || s.m.Requests > 22 {
			t.Fatalf("%d entries: %d after %d requests, %v", size, s.low, s.m.Requests, err)
		}
		if s.m.Before != nil && !s.m.Before.IntegratedTime.Before(s.when) || s.m.After != nil && s.m.After.IntegratedTime.Before(s.when) {
			t.Fatalf("%d entries: the neighbours are not on either side", size)
		}
	}
}

func TestTimesThatRunBackwardsAreSeenAndMarginsCoverThem(t *testing.T) {
	w := newV1World(t, 7, 400)
	times := w.trees[1].times
	for i := range times { // every third entry three seconds early, as a log of several machines has it
		times[i] = v1Epoch + int64(i)
		if i%3 == 0 {
			times[i] -= 3
		}
	}
	tree := w.Tree(uint64(w.trees[1].id))
	from, to := time.Unix(v1Epoch+100, 0), time.Unix(v1Epoch+120, 999_000_000)
	span, err := tree.Span(t.Context(), from, to, 5*time.Second, 400)
	if err != nil {
		t.Fatal(err)
	}
	for i, at := range times {
		if in := at >= from.Unix() && at <= to.Unix(); in && (uint64(i) < span.From || uint64(i) >= span.To) {
			t.Errorf("entry %d is in the period, and not in %+v", i, span)
		}
	}
	if span.Backwards < time.Second || span.Backwards > 3*time.Second || span.Margin != 5*time.Second || span.Requests < 2 || span.To-span.From > 40 {
		t.Errorf("%+v", span)
	}
	if _, err := tree.Span(t.Context(), to, from, 0, 400); err == nil {
		t.Error("a period that ends before it begins was found")
	}
	for i := range times {
		times[i] = v1Epoch + int64(i)
	}
	// Both ends belong to the period, and whole seconds to their end.
	span, err = tree.Span(t.Context(), from, to, 0, 400)
	if err != nil || span.From != 100 || span.To != 121 || span.Backwards != 0 {
		t.Errorf("%+v, %v; want 100 up to 121", span, err)
	}
}
