#include "pem.h"

#include <sys/stat.h>

#include "context.h"

int tls_check_mode(const char *what, const char *path, const struct file *file, struct err *err)
{
    if ((file->mode & (S_IRWXO | S_IWGRP)) == 0)
        return 0;
    return err_set(err, ERR_SYSTEM_PERMISSION, 0,
                   "%s %s is accessible to others (mode %04o): chmod 600 %s, or --insecure", what, path,
                   (unsigned)file->mode & 07777, path);
}

BIO *tls_file_bio(const struct file *file, struct err *err)
{
    BIO *bio = BIO_new_mem_buf(file->data, (int)file->length);
    if (bio == NULL)
        tls_fail(err, ERR_INTERNAL, "reading a file");
    return bio;
}
