package strictjson

import (
	"strings"
	"testing"
)

func TestOnlyOneUnambiguousObjectPasses(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:                     "",
		` {"a":[1,{"b":null}]} `: "",
		`[]`:                     "is not a JSON object",
		``:                       "is not a JSON object",
		`{"a":1`:                 "is not valid JSON",
		`{"a":1,"a":1}`:          "is not valid JSON",
		"{\"a\":\"\xff\"}":       "is not valid JSON",
		`{}{}`:                   "has something behind its JSON object",
		strings.Repeat(`{"a":`, 31) + `{}` + strings.Repeat(`}`, 31):   "",
		strings.Repeat(`{"a":`, 32) + `{}` + strings.Repeat(`}`, 32):   "nests deeper than 32 levels",
		`{"a":[` + strings.Repeat("0,", 99_990) + `0]}`:                "",
		`{"a":[` + strings.Repeat("0,", 100_000) + `0]}`:               "has more than 100000 values",
		`{"a":"` + strings.Repeat("x", 300_000-len(`{"a":""}`)) + `"}`: "",
		`{"a":"` + strings.Repeat("x", 300_001-len(`{"a":""}`)) + `"}`: "has 300001 bytes, more than the 300000 allowed",
	} {
		err := Check([]byte(text), 300_000)
		switch {
		case want == "" && err != nil, want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%.40s (%d bytes): %v, wants %q", text, len(text), err, want)
		}
	}
}
