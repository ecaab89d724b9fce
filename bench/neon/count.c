// Counts the instructions that a Go program runs in QEMU, for compare.py: a plugin of
// its translator, with the first version of their interface. Go's runtime is left out,
// but for copies: what its threads do between whiles depends on the clock.
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

typedef uint64_t plugin_id;

int qemu_plugin_version = 1;

// As in QEMU's qemu-plugin.h.
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*translated)(plugin_id, void *block));
void qemu_plugin_register_atexit_cb(plugin_id id, void (*ended)(plugin_id, void *), void *);
size_t qemu_plugin_tb_n_insns(const void *block);
void *qemu_plugin_tb_get_insn(const void *block, size_t i);
const char *qemu_plugin_insn_symbol(const void *instruction);
void qemu_plugin_register_vcpu_insn_exec_inline(void *instruction, int add, void *sum, uint64_t n);

static uint64_t count;

static int counts(const void *instruction)
{
	const char *symbol = qemu_plugin_insn_symbol(instruction);
	return !symbol || strncmp(symbol, "runtime.", 8) != 0 || strncmp(symbol, "runtime.mem", 11) == 0;
}

static void translated(plugin_id id, void *block)
{
	(void)id;
	for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
		void *instruction = qemu_plugin_tb_get_insn(block, i);
		if (counts(instruction))
			qemu_plugin_register_vcpu_insn_exec_inline(instruction, 0, &count, 1);
	}
}

static void ended(plugin_id id, void *data)
{
	(void)id, (void)data;
	fprintf(stderr, "instructions %" PRIu64 "\n", count);
}

int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
	(void)info, (void)argc, (void)argv;
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	qemu_plugin_register_atexit_cb(id, ended, NULL);
	return 0;
}
