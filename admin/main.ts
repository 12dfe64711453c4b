import { createApp } from 'vue';
import AdminConsole from './admin-console.vue';

createApp(AdminConsole).mount('#app');
