module a/apis
