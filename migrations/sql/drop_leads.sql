-- Undoes revision 0006.
DROP FUNCTION app.write_lead_scores;
DROP TABLE public.lead_changes, public.lead_models, public.lead_rule_sets;
ALTER TABLE public.leads DROP model_version;
