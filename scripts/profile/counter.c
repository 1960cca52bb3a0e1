// SPDX-License-Identifier: Apache-2.0
//
// A plugin of QEMU's emulation that counts, for each function of a guest's kernel, how many instructions it executed,
// in how many translated blocks, and how many blocks were translated for it; and how often the guest changed its address space.
//
// Options: symbols=FILE, lines of /proc/kallsyms; out=FILE, which gets a line at the end for each function:
// instructions, blocks, translated blocks, name. "(user)" is what is no kernel code, "(address spaces)" the writes of CR3.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// From qemu-plugin.h, of which Debian has no package; version 1 of the interface.
#define EXPORT __attribute__((visibility("default")))
typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { ADD_U64 };
EXPORT int qemu_plugin_version = 1;
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*cb)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_atexit_cb(plugin_id id, void (*cb)(plugin_id, void *), void *data);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *tb, int op, void *count, uint64_t n);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn, int op, void *count, uint64_t n);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t i);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);

struct function {
	uint64_t start, insns, blocks, translated;
	char name[96];
};

// The functions by their addresses. The first is what lies below all others.
static struct function *functions;
static size_t count = 1, room;
static uint64_t spaces;
static char out[4096];

static int by_start(const void *a, const void *b)
{
	uint64_t x = ((const struct function *)a)->start, y = ((const struct function *)b)->start;

	return (x > y) - (x < y);
}

static struct function *function_at(uint64_t pc)
{
	size_t low = 0, high = count - 1;

	while (low < high) {
		size_t middle = (low + high + 1) / 2;

		if (functions[middle].start <= pc)
			low = middle;
		else
			high = middle - 1;
	}
	return &functions[low];
}

// A write of CR3: 0f 22, with 3 as the register field of the byte after it, and a REX prefix at most.
static int writes_cr3(const struct qemu_plugin_insn *insn)
{
	const uint8_t *code = qemu_plugin_insn_data(insn);
	size_t size = qemu_plugin_insn_size(insn);

	if (size > 0 && (code[0] & 0xf0) == 0x40)
		code++, size--;
	return size == 3 && code[0] == 0x0f && code[1] == 0x22 && (code[2] >> 3 & 7) == 3;
}

static void translated(plugin_id id, struct qemu_plugin_tb *tb)
{
	struct function *f = function_at(qemu_plugin_tb_vaddr(tb));
	size_t n = qemu_plugin_tb_n_insns(tb);

	f->translated++;
	qemu_plugin_register_vcpu_tb_exec_inline(tb, ADD_U64, &f->insns, n);
	qemu_plugin_register_vcpu_tb_exec_inline(tb, ADD_U64, &f->blocks, 1);
	for (size_t i = 0; i < n; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);

		if (writes_cr3(insn))
			qemu_plugin_register_vcpu_insn_exec_inline(insn, ADD_U64, &spaces, 1);
	}
}

static void ended(plugin_id id, void *data)
{
	FILE *f = fopen(out, "w");

	if (!f) {
		perror(out);
		return;
	}
	for (size_t i = 0; i < count; i++)
		if (functions[i].blocks)
			fprintf(f, "%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%s\n", functions[i].insns, functions[i].blocks,
				functions[i].translated, functions[i].name);
	fprintf(f, "0\t%" PRIu64 "\t0\t(address spaces)\n", spaces);
	fclose(f);
}

static int read_symbols(const char *name)
{
	FILE *f = fopen(name, "r");
	char line[512], type, symbol[96];
	uint64_t start;

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%" SCNx64 " %c %95s", &start, &type, symbol) != 3 || !strchr("tTwW", type))
			continue;
		if (count >= room) {
			room = 2 * count + 1024;
			functions = realloc(functions, room * sizeof(*functions));
			if (!functions)
				return -1;
		}
		memset(&functions[count], 0, sizeof(*functions));
		functions[count].start = start;
		strcpy(functions[count++].name, symbol);
	}
	fclose(f);
	if (count == 1)
		return -1;
	memset(&functions[0], 0, sizeof(*functions));
	strcpy(functions[0].name, "(user)");
	qsort(functions, count, sizeof(*functions), by_start);
	return 0;
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
	for (int i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "out=", 4))
			snprintf(out, sizeof(out), "%s", argv[i] + 4);
		else if (strncmp(argv[i], "symbols=", 8) || read_symbols(argv[i] + 8))
			return -1;
	}
	if (!out[0] || !functions)
		return -1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	qemu_plugin_register_atexit_cb(id, ended, NULL);
	return 0;
}
