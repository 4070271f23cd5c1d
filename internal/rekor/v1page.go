package rekor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/segmentio/asm/base64"

	"github.com/rekoncile/rekoncile/internal/tlog"
)

// v1Buffer is memory for one page at a time: the answer, and the bodies that are in it.
type v1Buffer struct{ answer, bodies []byte }

// v1Buffers are those that nobody uses at the moment.
type v1Buffers struct{ pool sync.Pool }

func (p *v1Buffers) get() *v1Buffer {
	if b, ok := p.pool.Get().(*v1Buffer); ok {
		return b
	}
	return &v1Buffer{}
}

// maxKeptPage bounds what a buffer may hold on to: a usual page has under 100 kB.
const maxKeptPage = 1 << 20

func (p *v1Buffers) put(b *v1Buffer) {
	if cap(b.answer)+cap(b.bodies) <= maxKeptPage {
		p.pool.Put(b)
	}
}

// page asks for leaves by their global indices, of which there are at most ten.
func (t *V1Tree) page(ctx context.Context, from, to uint64) (tlog.Page, error) {
	shards, shard, err := t.shard(ctx)
	if err != nil {
		return tlog.Page{}, err
	}
	if _, err := shards.Global(t.id, to-1); err != nil {
		return tlog.Page{}, err
	}
	var q v1Question
	for index := from; index < to; index++ {
		q.LogIndexes = append(q.LogIndexes, shard.Offset+index)
	}
	b := t.log.buffers.get()
	raw, err := t.log.ask(ctx, "/log/entries/retrieve", q, maxV1AnswerBytes, b.answer)
	if err != nil {
		t.log.buffers.put(b)
		return tlog.Page{}, err
	}
	b.answer = raw
	page, err := b.page(shard.Offset+from, len(q.LogIndexes), t.id, t.log.keys)
	if err != nil {
		t.log.buffers.put(b)
		return tlog.Page{}, err
	}
	page.First, page.Bytes, page.Release = from, int64(len(raw)), func() { t.log.buffers.put(b) }
	return page, nil
}

// page reads the page in the buffer; see [parseV1Page].
func (b *v1Buffer) page(first uint64, n int, treeID uint64, keys *V1Keys) (tlog.Page, error) {
	if answers, ok := b.scan(n); ok {
		return v1Leaves(answers, first, n, treeID, keys)
	}
	return parseV1Page(b.answer, first, n, treeID, keys)
}

// scan reads an answer that is written as Rekor writes it, without a JSON parser: nearly all are, and of a page's text, half
// is proofs that nobody reads. It does not look into what it passes over, so that it may take what a parser would not; what
// it returns is what a parser would find. The bodies are in the buffer. Where ok is false, it is for a parser to read.
func (b *v1Buffer) scan(atMost int) (answers []v1Keyed[v1Leaf], ok bool) {
	if need := len(b.answer) + slack; cap(b.bodies) < need {
		b.bodies = make([]byte, need)
	}
	c := v1Cursor{rest: b.answer, bodies: b.bodies[:cap(b.bodies)]}
	answers = make([]v1Keyed[v1Leaf], 0, atMost)
	c.expect(`[`)
	for !c.bad && len(answers) < atMost {
		answers = append(answers, c.entry())
		if !c.literal(`,`) {
			break
		}
	}
	c.expect(`]`)
	return answers, !c.bad && len(bytes.TrimSpace(c.rest)) == 0
}

// v1Cursor reads an answer of a known shape. After the first difference it is bad and reads no more.
type v1Cursor struct {
	rest   []byte
	bodies []byte // memory for those to come
	bad    bool
}

func (c *v1Cursor) literal(text string) bool {
	if c.bad || len(c.rest) < len(text) || string(c.rest[:len(text)]) != text {
		return false
	}
	c.rest = c.rest[len(text):]
	return true
}

func (c *v1Cursor) expect(text string) {
	if !c.literal(text) {
		c.bad = true
	}
}

// string reads up to the next quote, and past it.
func (c *v1Cursor) string() []byte {
	if c.bad {
		return nil
	}
	end := bytes.IndexByte(c.rest, '"')
	if end < 0 {
		c.bad = true
		return nil
	}
	text := c.rest[:end]
	c.rest = c.rest[end+1:]
	return text
}

// number reads a whole number as JSON has it, that cannot overflow.
func (c *v1Cursor) number() uint64 {
	const digits = 18
	var n uint64
	i := 0
	for ; i < len(c.rest) && i <= digits && c.rest[i] >= '0' && c.rest[i] <= '9'; i++ {
		n = 10*n + uint64(c.rest[i]-'0')
	}
	if c.bad || i == 0 || i > digits || i > 1 && c.rest[0] == '0' {
		c.bad = true
		return 0
	}
	c.rest = c.rest[i:]
	return n
}

// entry reads one entry under its UUID.
func (c *v1Cursor) entry() v1Keyed[v1Leaf] {
	var keyed v1Keyed[v1Leaf]
	c.expect(`{"`)
	id, err := ParseV1ID(string(c.string()))
	c.expect(`:{"body":"`)
	keyed.id, keyed.entry.Body = id, c.body()
	c.expect(`,"integratedTime":`)
	c.number()
	c.expect(`,"logID":"`)
	logID := c.string()
	c.expect(`,"logIndex":`)
	keyed.entry.LogID, keyed.entry.LogIndex = string(logID), c.number()
	c.expect(`,"verification":{"inclusionProof":{"checkpoint":"`)
	c.string()
	c.expect(`,"hashes":[`)
	if !c.literal(`]`) {
		c.hashes()
	}
	c.expect(`,"logIndex":`)
	c.number()
	c.expect(`,"rootHash":"`)
	c.string()
	c.expect(`,"treeSize":`)
	c.number()
	c.expect(`},"signedEntryTimestamp":"`)
	c.string()
	c.expect(`}}}`)
	c.bad = c.bad || err != nil || bytes.IndexByte(logID, '\\') >= 0
	return keyed
}

// hashes passes over the rest of a list of strings that is not empty.
func (c *v1Cursor) hashes() {
	for n := 0; !c.bad && n < maxProofHashes; n++ {
		c.expect(`"`)
		c.string()
		if !c.literal(`,`) {
			break
		}
	}
	c.expect(`]`)
}

// body reads the rest of a string of base64 into the memory that is there for it.
func (c *v1Cursor) body() v1Body {
	text := c.string()
	if c.bad {
		return nil
	}
	n, err := base64.StdEncoding.Decode(c.bodies, text)
	if err != nil || n == 0 || n+padding(text) != len(text)/4*3 || len(text)%4 != 0 {
		c.bad = true
		return nil
	}
	body := v1Body(c.bodies[:n:n])
	c.bodies = c.bodies[n:]
	return body
}

// parseV1Page reads the bodies of entries of one tree, n from a global index on, out of an answer whose order means
// nothing. It may have fewer at the end, which a replica does not have yet, but none in between.
func parseV1Page(raw []byte, first uint64, n int, treeID uint64, keys *V1Keys) (tlog.Page, error) {
	answers, err := parseV1Entries[v1Leaf](raw, n)
	if err != nil {
		return tlog.Page{}, err
	}
	return v1Leaves(answers, first, n, treeID, keys)
}

// v1Leaves identifies the entries of a page, and puts them in order.
func v1Leaves(answers []v1Keyed[v1Leaf], first uint64, n int, treeID uint64, keys *V1Keys) (tlog.Page, error) {
	leaves, hashes := make([][]byte, n), make([][sha256.Size]byte, n)
	bad := func(format string, args ...any) (tlog.Page, error) { return tlog.Page{}, fmt.Errorf(format, args...) }
	for _, a := range answers {
		position := a.entry.LogIndex - first // beyond n also where it wraps around
		id := V1ID{TreeID: treeID, LeafHash: tlog.LeafHash(a.entry.Body)}
		switch {
		case position >= uint64(n):
			return bad("its answer has entry %d, which was not asked for", a.entry.LogIndex)
		case leaves[position] != nil:
			return bad("its answer has entry %d twice", a.entry.LogIndex)
		case len(a.entry.Body) == 0:
			return bad("entry %d of its answer has no body", a.entry.LogIndex)
		case keys.keys[a.entry.LogID] == nil:
			return bad("entry %d of its answer is of a log with an unknown key, %q", a.entry.LogIndex, clip(a.entry.LogID))
		case !a.id.names(id):
			return bad("entry %d of its answer is called %s, and is %s", a.entry.LogIndex, a.id, id)
		}
		leaves[position], hashes[position] = a.entry.Body, id.LeafHash
	}
	got := slices.IndexFunc(leaves, func(leaf []byte) bool { return leaf == nil })
	switch {
	case got < 0:
		got = n
	case got == 0 || got != len(answers):
		return bad("its answer does not have entry %d: %w", first+uint64(got), fs.ErrNotExist)
	}
	return tlog.Page{Leaves: leaves[:got], LeafHashes: hashes[:got]}, nil
}
