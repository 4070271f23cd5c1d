package sandbox

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
)

// indexPath is where the index is searched.
const indexPath = "/api/v1/index/retrieve"

// maxIndexKey is how many characters of a key the index keeps: its column is a varchar(512), and written to by INSERT IGNORE,
// which cuts what is longer.
const maxIndexKey = 512

// RekorIndex is Rekor v1's search index: keys of entries, kept beside the log and proven by nothing. It keeps them as MySQL
// does (rekor pkg/indexstorage/mysql), whose collation utf8mb4_general_ci knows neither case nor accents nor spaces at the
// end. What bulk is made of is not in it.
type RekorIndex struct {
	log *Rekor

	mu      sync.Mutex
	pending []indexed
	rows    map[string][]indexed // by the collated key
	written int
	delay   time.Duration
	lossy   int
	subject SubjectSupport
	told    map[Lie]uint64
}

// indexed is an entry that the index knows.
type indexed struct {
	shard     *RekorShard
	index     uint64
	at        time.Time
	statement []byte // of what is pending
}

// SubjectSupport is what a server makes of a search for a subject.
type SubjectSupport int

// Servers know the member since v1.5.4. Older ones ignore it, as any that they do not know, so that a search for nothing else
// finds nothing; some in between refuse it.
const (
	SubjectKnown SubjectSupport = iota
	SubjectIgnored
	SubjectRefused
)

// The lies of the index, and its failures. What Tell's number means is said with each.
const (
	// HidingIndex names the entry of that global index to nobody.
	HidingIndex Lie = "hiding-index"
	// ForeignIndex names the entry of that global index to everybody, besides those that were asked for.
	ForeignIndex Lie = "foreign-index"
	// SilentIndex knows of nothing.
	SilentIndex Lie = "silent-index"
	// IndexOutage answers with an HTML page of that status: 200 is one too.
	IndexOutage Lie = "index-outage"
)

func newRekorIndex(r *Rekor) *RekorIndex {
	return &RekorIndex{log: r, rows: map[string][]indexed{}, told: map[Lie]uint64{}}
}

// SetSubject chooses what becomes of searches for a subject.
func (x *RekorIndex) SetSubject(s SubjectSupport) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.subject = s
}

// SetDelay has entries appear so long after they were logged, by the world's clock: the index is written behind the log.
func (x *RekorIndex) SetDelay(d time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.delay = d
}

// Lose has every nth entry from now on left out: the real server only notes it when it cannot write. Zero ends that.
func (x *RekorIndex) Lose(nth int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.lossy, x.written = nth, 0
}

// Lies lists what the index can be made to tell.
func (x *RekorIndex) Lies() []Lie { return []Lie{HidingIndex, ForeignIndex, SilentIndex, IndexOutage} }

// Tell makes the index lie until mend is called, which may be done more than once. One lie of each kind holds at a time.
func (x *RekorIndex) Tell(lie Lie, n uint64) (mend func(), err error) {
	if !slices.Contains(x.Lies(), lie) {
		return nil, fmt.Errorf("the index of %s cannot tell the lie %q", x.log.host, lie)
	}
	if lie == ForeignIndex {
		if _, err := x.log.UUID(int64(n)); err != nil {
			return nil, err
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, ok := x.told[lie]; ok {
		return nil, fmt.Errorf("the index of %s tells the lie %q already", x.log.host, lie)
	}
	x.told[lie] = n
	return sync.OnceFunc(func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		delete(x.told, lie)
	}), nil
}

// write takes an entry in. Its keys are computed when somebody searches: most worlds end before anybody does.
func (x *RekorIndex) write(s *RekorShard, index uint64, statement []byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.written++
	if x.lossy > 0 && x.written%x.lossy == 0 {
		return
	}
	x.pending = append(x.pending, indexed{s, index, x.log.now(), bytes.Clone(statement)})
}

func (x *RekorIndex) settleLocked() {
	for _, one := range x.pending {
		body, err := one.shard.Leaf(one.index)
		var keys []string
		if err == nil {
			keys, err = indexKeys(body, one.statement)
		}
		if err != nil {
			continue // as the real server, which notes it in its own log
		}
		row := indexed{shard: one.shard, index: one.index, at: one.at}
		for _, key := range keys {
			key = collated(truncated(key))
			x.rows[key] = append(x.rows[key], row)
		}
	}
	x.pending = nil
}

// truncated is what the column keeps of a key.
func truncated(key string) string {
	if runes := []rune(key); len(runes) > maxIndexKey {
		return string(runes[:maxIndexKey])
	}
	return key
}

// accents are the letters of Latin-1 that the collation takes for others, each before its own. Other scripts lose their case
// alone here, which is less than the collation takes from them.
const accents = "ÀAÁAÂAÃAÄAÅAÇCÈEÉEÊEËEÌIÍIÎIÏIÑNÒOÓOÔOÕOÖOÙUÚUÛUÜUÝY"

// collated maps keys that the collation takes for one to one text.
func collated(key string) string {
	letters := []rune(accents)
	return strings.Map(func(r rune) rune {
		if r > 0xffff {
			return unicode.ReplacementChar // all of them are one to it
		}
		r = unicode.ToUpper(r)
		for i := 0; i < len(letters); i += 2 {
			if r == letters[i] {
				return letters[i+1]
			}
		}
		return r
	}, strings.TrimRight(key, " "))
}

// lookup finds the UUIDs of the entries that have one of the keys, each once, in the order in which they were logged.
func (x *RekorIndex) lookup(keys ...string) []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.settleLocked()
	uuids := []string{}
	if _, ok := x.told[SilentIndex]; ok {
		return uuids
	}
	appeared := x.log.now().Add(-x.delay)
	hidden, hiding := x.told[HidingIndex]
	for _, key := range keys {
		for _, row := range x.rows[collated(key)] {
			if row.at.After(appeared) || hiding && row.shard.offset+row.index == hidden {
				continue
			}
			if uuid := row.uuid(); !slices.Contains(uuids, uuid) {
				uuids = append(uuids, uuid)
			}
		}
	}
	return uuids
}

func (e indexed) uuid() string {
	e.shard.mu.RLock()
	defer e.shard.mu.RUnlock()
	return fmt.Sprintf("%016x%x", e.shard.treeID, e.shard.tree.levels[0][e.index])
}

// foreign is what the index says besides.
func (x *RekorIndex) foreign() ([]string, error) {
	x.mu.Lock()
	n, ok := x.told[ForeignIndex]
	x.mu.Unlock()
	if !ok {
		return nil, nil
	}
	uuid, err := x.log.UUID(int64(n))
	return []string{uuid}, err
}

// serve answers a search.
func (x *RekorIndex) serve(w http.ResponseWriter, q *http.Request) {
	x.mu.Lock()
	status, out := x.told[IndexOutage]
	subject := x.subject
	x.mu.Unlock()
	if out {
		writeHTML(w, int(status))
		return
	}
	var search indexSearch
	err := readRequest(q, "query", &search)
	if err == nil {
		err = search.check(subject)
	}
	var uuids, besides []string
	if err == nil {
		uuids, err = search.run(x)
	}
	if err == nil {
		besides, err = x.foreign()
	}
	if err != nil {
		rekorFail(w, err)
		return
	}
	writeJSON(w, http.StatusOK, "application/json", append(uuids, besides...))
}
