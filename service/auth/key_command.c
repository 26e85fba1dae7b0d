/* Words of the command line into a new key. */
#include "service/auth/key_command.h"

#include "service/auth/keys.h"

#include "service/base/banned.h"

bool key_command(int argc, char **argv, struct err *err)
{
	struct str name = STR_NONE, scopes = STR_NONE, connections = STR_NONE;
	bool known = argc >= 3 && strcmp(argv[2], "new") == 0 && argc % 2 == 1;
	for (int i = 3; known && i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--name") == 0)
			name = str_z(argv[i + 1]);
		else if (strcmp(argv[i], "--scopes") == 0)
			scopes = str_z(argv[i + 1]);
		else if (strcmp(argv[i], "--connections") == 0)
			connections = str_z(argv[i + 1]);
		else
			known = false;
	}
	if (!known)
		return err_set(err, ERR_INVALID_REQUEST,
			       "usage: ferrod key new --name NAME --scopes read,write,... [--connections a,b]");
	return keys_new(stdout, name, scopes, connections, err);
}
