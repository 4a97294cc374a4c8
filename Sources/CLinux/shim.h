// What glibc has and Swift's module of it does not show: man 2 rename.
int renameat2(int old_folder, const char *old_path, int new_folder, const char *new_path, unsigned int flags);
enum { LINUX_RENAME_EXCHANGE = 2 };
