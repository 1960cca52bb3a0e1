package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const header = `
#define ___BPF_FUNC_MAPPER(FN, ctx...)			\
	FN(unspec, 0, ##ctx)				\
	FN(free, 1, ##ctx)				\
	FN(guarded, 2, ##ctx)				\
	FN(reads, 3, ##ctx)				\
	FN(cast, 4, ##ctx)				\
`

const baseC = `
const struct bpf_func_proto bpf_free_proto = {
	.ret_type	= RET_INTEGER,
	.arg1_type	= ARG_PTR_TO_CTX,
	.arg2_type	= ARG_PTR_TO_MEM | MEM_RDONLY,
	.arg3_type	= ARG_CONST_SIZE,
};
static const struct bpf_func_proto bpf_guarded_proto = {
	.might_sleep	= true,
	.arg1_type	= ARG_PTR_TO_MAP_KEY
};
const struct bpf_func_proto bpf_reads_proto = {
	.ret_type	= RET_PTR_TO_BTF_ID_TRUSTED,
	.arg1_type	= ARG_ANYTHING,
};

const struct bpf_func_proto *
bpf_base_func_proto(enum bpf_func_id func_id, const struct bpf_prog *prog)
{
	switch (func_id) {
	case BPF_FUNC_free:
		return &bpf_free_proto;
	default:
		break;
	}
	if (!bpf_token_capable(prog->aux->token, CAP_BPF))
		return NULL;
	switch (func_id) {
#ifdef CONFIG_CGROUPS
	case BPF_FUNC_guarded: /* a comment */
		return &bpf_guarded_proto;
#endif
	default:
		break;
	}
	if (!bpf_token_capable(prog->aux->token, CAP_PERFMON))
		return NULL;
	switch (func_id) {
	case BPF_FUNC_reads:
		return security_locked_down(LOCKDOWN_BPF_READ_KERNEL) < 0 ?
		       NULL : &bpf_reads_proto;
	default:
		return NULL;
	}
}
`

const filterC = `
const struct bpf_func_proto bpf_cast_proto = {
	.ret_type	= RET_PTR_TO_BTF_ID_OR_NULL,
	.arg1_type	= ARG_PTR_TO_BTF_ID_SOCK_COMMON,
};

static const struct bpf_func_proto *
bpf_sk_base_func_proto(enum bpf_func_id func_id, const struct bpf_prog *prog)
{
	switch (func_id) {
	case BPF_FUNC_cast:
		func = &bpf_cast_proto;
		break;
	default:
		return bpf_base_func_proto(func_id, prog);
	}
	if (!bpf_token_capable(prog->aux->token, CAP_PERFMON))
		return NULL;
	return func;
}
`

// tree writes a kernel tree with only what gen reads.
func tree(t *testing.T, base string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"include/uapi/linux/bpf.h": header, "kernel/bpf/helpers.c": base,
		"kernel/trace/bpf_trace.c": "", "net/core/filter.c": filterC} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestHelpers(t *testing.T) {
	moved := strings.Replace(baseC, "case BPF_FUNC_free:\n\t\treturn &bpf_free_proto;", "case BPF_FUNC_other:", 1)
	moved = strings.Replace(moved, "case BPF_FUNC_other:\n", "", 1)
	rows, err := collectHelpers([]string{"6.12=" + tree(t, baseC)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := string(renderHelpers(rows, header))
	for _, want := range []string{
		`{ID: 1, Name: "free", Sets: []HelperSince{{Release{0, 0}, HelperFree},},` + "\n" +
			`Args: []HelperArg{ArgContext, ArgMemory, ArgSize}},`,
		`Args: []HelperArg{ArgOther}, Sleeps: true, Config: "CGROUPS"},`,
		`Args: []HelperArg{ArgAnything}, ReadsKernel: true, Config: "DEBUG_INFO_BTF"},`,
		`{ID: 4, Name: "cast", Sets: []HelperSince{{Release{0, 0}, HelperSock},},` + "\n" +
			`Args: []HelperArg{ArgOther}, Config: "NET"},`,
		`"unspec",` + "\n" + `"free",`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
	// A helper that a later kernel adds needs the release that added it.
	two := []string{"6.12=" + tree(t, moved), "7.3=" + tree(t, baseC)}
	if _, err := collectHelpers(two, nil); err == nil || !strings.Contains(err.Error(), "free: in the sets of 7.3") {
		t.Errorf("without its release: %v", err)
	}
	rows, err = collectHelpers(two, map[string]string{"free": "6.16"})
	if err != nil || rows[0].sets[0].since != "6.16" {
		t.Errorf("%+v, %v", rows, err)
	}
	// A function that asks for other capabilities is not what gen knows.
	odd := strings.Replace(baseC, "CAP_PERFMON", "CAP_SYS_ADMIN", 1)
	if _, err := collectHelpers([]string{"7.3=" + tree(t, odd)}, nil); err == nil ||
		!strings.Contains(err.Error(), "read it, and change gen") {
		t.Errorf("other capabilities: %v", err)
	}
}
