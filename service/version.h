/* The version of this source tree. Owns nothing. */
#ifndef FERROD_SERVICE_VERSION_H
#define FERROD_SERVICE_VERSION_H

#define FERROD_VERSION "0.1.0"

#endif
