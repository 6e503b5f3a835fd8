-- Undoes revision 0015.
DROP TRIGGER released ON public.custom_domains;
DROP TRIGGER released_by_change ON public.custom_domains;
DROP FUNCTION app.release_domain, app.domain_holder, app.hold_domain;
DROP TABLE app.domain_holders;
