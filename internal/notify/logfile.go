package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// LogFile appends alerts to a file, one JSON object a line, each on disk when Send returns. What a crash or a full disk left of a
// line is ended before the next begins. It can tell what it took.
type LogFile struct {
	name, path string
}

// NewLogFile makes the channel; the file is made where it is missing.
func NewLogFile(name, path string) *LogFile { return &LogFile{name: name, path: path} }

// Name implements Channel.
func (l *LogFile) Name() string { return l.name }

// Send implements Channel.
func (l *LogFile) Send(_ context.Context, p Parcel) (string, error) {
	body, err := p.payload()
	if err != nil {
		return "", &Error{Err: err, NotTaken: true, OnlyThis: true}
	}
	f, err := os.OpenFile(l.path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return "", &Error{Err: err, NotTaken: true}
	}
	err = appendLine(f, body)
	if err = errors.Join(err, f.Close()); err != nil {
		return "", &Error{Err: fmt.Errorf("alerts in %s: %w", l.path, err)}
	}
	return "", nil
}

// appendLine writes a line and waits until it is on disk.
func appendLine(f *os.File, line []byte) error {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	if end > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, end-1); err != nil {
			return err
		}
		if last[0] != '\n' {
			line = append([]byte{'\n'}, line...)
		}
	}
	if _, err := f.Write(line); err != nil {
		return err
	}
	return f.Sync()
}

// Took implements Teller: it looks for a whole line with the parcel's id among the last of the file.
func (l *LogFile) Took(_ context.Context, p Parcel) (string, bool, error) {
	const most = 8 << 20
	f, err := os.Open(l.path)
	if errors.Is(err, os.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, &Error{Err: err, NotTaken: true}
	}
	defer f.Close()
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return "", false, err
	}
	tail := make([]byte, min(end, most))
	if _, err := f.ReadAt(tail, end-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return "", false, err
	}
	mark := []byte(`"data":{"id":"` + p.ID() + `"`)
	for line := range bytes.Lines(tail) {
		if bytes.Contains(line, mark) && bytes.HasSuffix(line, []byte("}\n")) {
			return "", true, nil
		}
	}
	return "", false, nil
}

// Stream writes alerts to an open stream, one JSON object a line.
type Stream struct {
	name string
	mu   sync.Mutex
	w    io.Writer
}

// NewStream makes the channel over a stream.
func NewStream(name string, w io.Writer) *Stream { return &Stream{name: name, w: w} }

// Name implements Channel.
func (s *Stream) Name() string { return s.name }

// Send implements Channel.
func (s *Stream) Send(_ context.Context, p Parcel) (string, error) {
	body, err := p.payload()
	if err != nil {
		return "", &Error{Err: err, NotTaken: true, OnlyThis: true}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err = s.w.Write(append(body, '\n'))
	return "", err
}
