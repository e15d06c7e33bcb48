/*
 * torchpt.h - the tensors of a file that torch.save() wrote (inputs.pt).
 *
 * The file is a zip of stored entries: ARCHIVE/data.pkl names the tensors,
 * ARCHIVE/data/KEY holds their bytes. The pickle is read, never executed:
 * only what a dict of tensors needs is understood (torch's storages,
 * torch._utils._rebuild_tensor_v2 and _v3, OrderedDict, numbers, strings,
 * tuples), everything else is refused.
 */
#ifndef ONBOARD_TORCHPT_H
#define ONBOARD_TORCHPT_H

#include "safetensors.h"

/*
 * Takes the descriptor. st is used like that of a safetensors file. 0, or -1
 * with a sentence in err. Tensors that are not contiguous are left out.
 */
int torchpt_open_fd(struct safetensors *st, int fd, const char *path,
		    struct strbuf *err);

#endif
