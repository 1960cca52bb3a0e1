package main

import (
	"slices"
	"strings"
	"testing"
)

// A structure is laid out as a compiler does it, with unions, arrays, bit fields and padding.
func TestParseLayout(t *testing.T) {
	text := read(t, "testdata/new.h")
	for _, tt := range []struct {
		tag  string
		want []field
		size int
	}{
		{"union bpf_attr", []field{
			{"map_type", 0, 4}, {"map_name", 4, 16}, {"map_extra", 24, 8}, {"map_token_fd", 32, 4},
			{"batch.count", 0, 4}, {"batch.keys", 8, 8}, {"batch.key", 8, 4},
		}, 40},
		{"struct bpf_map_info", []field{{"type", 0, 4}, {"tag", 4, 3}, {"alone", 7, 1}, {"last", 12, 2}}, 16},
		{"struct __sk_buff", []field{{"sk", 0, 8}, {"tstamp_type", 8, 1}, {"hwtstamp", 16, 8}}, 24},
	} {
		got, err := parseLayout(text, tt.tag)
		if err != nil || !slices.Equal(got.fields, tt.want) || got.size != tt.size {
			t.Errorf("parseLayout(%s) = %+v, %v\nwant %+v, %d bytes", tt.tag, got, err, tt.want, tt.size)
		}
	}
}

func TestParseLayoutErrors(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"\nstruct y {\n};", "no struct x"},
		{"\nstruct x {\n\t__u32 a;", "no end"},
		{"\nstruct x {\n\t__u128 a;\n};", "unknown type"},
		{"\nstruct x {\n\t__u32 *a;\n};", "unknown type"},
		{"\nstruct x {\n\t__u32 a[LONG];\n};", "unknown length LONG"},
		{"\nstruct x {\n\tclass { __u32 a; };\n};", `read "class"`},
	} {
		if got, err := parseLayout(tt.text, "struct x"); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %+v, error %v, want %s", tt.text, got, err, tt.want)
		}
	}
}
