package tiles

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
)

// Buffer is memory for one answer at a time: what is read into it overwrites what was there. The zero value is empty.
type Buffer struct {
	answer, unzipped []byte // as they are used; what they can hold is their capacity
	gzip             gzip.Reader
}

// gunzip decompresses the answer.
func (b *Buffer) gunzip(limit int64) ([]byte, error) {
	if err := b.gzip.Reset(bytes.NewReader(b.answer)); err != nil {
		return nil, err
	}
	// The trailer tells the size, modulo 2^32 and if it is honest: good enough to spare the buffer its growing.
	hint := int64(binary.LittleEndian.Uint32(b.answer[len(b.answer)-4:]))
	if want := min(hint, limit, int64(len(b.answer))*16) + bytes.MinRead; int64(cap(b.unzipped)) < want {
		b.unzipped = make([]byte, 0, want)
	}
	out := bytes.NewBuffer(b.unzipped[:0])
	if _, err := out.ReadFrom(io.LimitReader(&b.gzip, limit+1)); err != nil {
		return nil, err
	}
	if int64(out.Len()) > limit {
		return nil, fmt.Errorf("it is larger than the %d bytes allowed", limit)
	}
	b.unzipped = out.Bytes()
	return b.unzipped, nil
}

// Buffers are those that nobody uses at the moment. The zero value has none; it is safe for concurrent use.
type Buffers struct{ pool sync.Pool }

// Get takes a buffer out, or makes one.
func (p *Buffers) Get() *Buffer {
	if b, ok := p.pool.Get().(*Buffer); ok {
		return b
	}
	return &Buffer{}
}

// maxKept bounds what a buffer may hold on to: a usual tile has less than 1 MiB, and the memory that one huge answer took
// is not to stay.
const maxKept = 4 << 20

// Put gives a buffer back. Nobody may use it any more, nor anything that was read into it.
func (p *Buffers) Put(b *Buffer) {
	if cap(b.answer)+cap(b.unzipped) <= maxKept {
		p.pool.Put(b)
	}
}
