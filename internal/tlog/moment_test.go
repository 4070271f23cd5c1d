package tlog

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// day0 is when the first leaf of a dated log was made.
var day0 = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// datedLog has leaves that tell the minute they were made in: one a minute, but as edit says.
func datedLog(n int, edit func(i int) string) *memoryLog {
	l := newLog(0)
	for i := range n {
		text := strconv.Itoa(i)
		if edit != nil {
			text = edit(i)
		}
		l.leaves = append(l.leaves, fmt.Sprintf("leaf %d made %s", i, text))
	}
	return l
}

func madeAt(leaf []byte) (time.Time, bool) {
	_, text, _ := strings.Cut(string(leaf), " made ")
	minute, err := strconv.Atoi(text)
	return day0.Add(time.Duration(minute) * time.Minute), err == nil
}

func TestAMomentIsFoundInALogWithAPageToSpare(t *testing.T) {
	const size, page = 1000, 16
	for name, c := range map[string]struct {
		edit   func(i int) string
		minute int
		want   uint64
	}{
		// The middle of a page of 16 is its ninth: minute 500 is in page 31, whose middle is 504.
		"in the middle":                {nil, 500, 30 * page},
		"at the first leaf":            {nil, 0, 0},
		"before the first leaf":        {nil, -1000, 0},
		"in the last page":             {nil, 996, 61 * page}, // of 8 leaves: its middle is 996
		"after the last leaf":          {nil, 2000, size},
		"stray times":                  {func(i int) string { return strconv.Itoa(i + i%7/6*100_000) }, 500, 30 * page},
		"few leaves that tell a time":  {func(i int) string { return map[bool]string{true: strconv.Itoa(i)}[i%100 == 50] }, 500, 28 * page},
		"none that does, from some on": {func(i int) string { return map[bool]string{true: strconv.Itoa(i)}[i < 960] }, 2000, 59 * page},
	} {
		l := datedLog(size, c.edit)
		got, err := IndexAt(context.Background(), l, size, day0.Add(time.Duration(c.minute)*time.Minute), madeAt)
		if err != nil || got != c.want {
			t.Errorf("%s: index %d, want %d, %v", name, got, c.want, err)
		}
		if first := uint64(max(c.minute, 0)); got > first && got != size {
			t.Errorf("%s: index %d is after the moment", name, got)
		}
		if l.pages > 40 {
			t.Errorf("%s: %d pages were read", name, l.pages)
		}
	}
}

func TestAMomentInALogThatTellsNoTimeIsAnError(t *testing.T) {
	silent := datedLog(1000, func(int) string { return "" })
	_, err := IndexAt(context.Background(), silent, 1000, day0, madeAt)
	if want := "looking for the first entry since 2026-11-01T00:00:00Z: none of the entries 496 to 751 tells its time"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	broken := datedLog(1000, nil)
	broken.fail = func(uint64, uint64) error { return errors.New("503") }
	if _, err := IndexAt(context.Background(), broken, 1000, day0, madeAt); err == nil || !strings.HasSuffix(err.Error(), ": 503") {
		t.Errorf("error %v", err)
	}
}
